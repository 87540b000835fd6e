"""Training of the selector: measured transfers in, a checked model bundle out.

Reading order: ``table`` (messages to a matrix, by the serving code), ``trees`` and ``network``
(the two models and their exports), ``scores`` (accuracy and regret), ``train`` (all of it).
"""
