"""Instruments of a storm: what can befall a machine, each thing done for real and undone again.

- ``proxy``: a network that is slow, cut or silent, between clients and any server
- ``cluster``: Kafka of three brokers, each of which can be stopped and killed by itself
- ``small_disk``: a folder whose disk is full
- ``clock``: a worker whose wall clock jumps
- Redis away needs no instrument: ``Servers.stop("redis")`` and ``start`` keep port and rows, and a
  ``Proxy`` before it makes it silent
"""
