"""Instruments of a storm: what can befall a machine, each thing done for real and undone again.

- ``proxy``: a network that is slow, cut or silent, between clients and any server
- ``cluster``: Kafka of one or three brokers behind such networks; each can be stopped and killed
- ``small_disk``: a folder whose disk is full
- ``clock``: processes whose wall clock jumps
- Redis away needs none: ``Servers.stop("redis")`` and ``start`` keep its port and its rows, and a
  proxy before it makes it silent

Where a machine cannot do something, ``Unavailable`` says why; nothing is made to look as if.
"""
