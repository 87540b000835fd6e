"""Profile: where the microseconds of a decision go, stage by stage, for one record and for many.

``python -m benchmarks.profile`` prints the table of ``docs/performance.md``: ``flagship`` is the
topology's plan, ``stages`` says what is watched in it, ``probe`` watches. No Kafka is needed.
"""
