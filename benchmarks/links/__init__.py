"""The link model held against real TCP: kernel sockets over an emulated link.

Reading order: ``emulator`` (one direction of a link, no I/O), ``namespaces`` and ``endpoint`` (the
two ends), ``lane`` (packets and orders between them), ``grid`` (what is measured), ``survey`` (the
run), ``table`` (what was measured, stored), ``compare`` (the model beside it), ``report``.
"""
