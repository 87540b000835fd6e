"""The DWCP domain: what agents send, how they compress, and what a transfer costs.

Reading order: ``events`` (the messages), ``profiles`` and ``rules`` (what can be decided),
``measure`` and ``codecs`` (what bytes are like and what compressing them does), ``links`` (paths
and how they change), ``congestion``, ``stream`` and ``transfer_time`` (how long bytes take on one),
``history`` (what past transfers taught), ``agent`` (a program that moves files and asks the
selector), ``corpus`` and ``dataset`` (real payloads, measured and labelled), ``training`` (where
the model comes from).
"""
