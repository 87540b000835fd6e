"""Benchmarks: what the project is measured by, in one run, side by side, on real Kafka.

Reading order: ``run`` (the command), ``transfers`` (the events), ``contenders`` (who competes),
``bare`` and ``stock_faust`` (two of them), ``throughput``, ``latency`` with ``open_loop``,
``one_decision``, ``report``.
"""
