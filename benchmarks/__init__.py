"""Benchmarks: what the project is measured by, in one run, side by side, on real Kafka.

Reading order: ``run`` (the command), ``one_run`` (what it does), ``contenders`` (who competes),
``transfers`` and ``topics`` (the events), ``decide`` and ``decide_one`` (the work), ``bare``,
``bare_confluent``, ``bare_transactions`` and ``peers`` (who does it), ``running``, ``throughput``,
``latency`` with ``open_loop``, ``one_decision``, ``figures``, ``targets``, ``report``, ``page`` and
``picture``.
"""
