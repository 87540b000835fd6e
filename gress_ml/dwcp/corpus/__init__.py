"""The corpus: real bytes of this machine in their real successive states, nothing from elsewhere.

Reading order: ``wish`` (what is asked of a maker), ``pool`` (the files there are), ``tree`` and
``edits`` (files as they go on changing), then one file per class of payload, ``catalogue`` (all
kinds) and ``source`` (payloads cut from one source's states).
"""
