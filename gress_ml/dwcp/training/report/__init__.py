"""The report of a training: one content, written as Markdown with pictures and as one HTML file.

Reading order: ``document`` (what a page is made of), ``markdown`` and ``html`` (the two forms),
``figures`` (the pictures), ``content`` (what is said), ``card`` (the model card of the bundle).
"""
