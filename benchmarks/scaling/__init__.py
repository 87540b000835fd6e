"""Scaling: what one event costs while one thing grows, on real Kafka and Redis.

Reading order: ``__main__`` (the command), ``case`` and ``axes`` (what is varied), ``events`` and
``topics`` (the logs), ``topology``, ``features`` and ``worker`` (what works them off), ``crew`` and
``point`` (one measure), ``law`` (what the figures follow), ``report``, ``picture``.
"""
