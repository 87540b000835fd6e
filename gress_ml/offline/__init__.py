"""A topology without a broker: over files (``replay``) and in its users' tests (``cases``).

The same plans, operators and partition task as on Kafka; only the ends differ.
"""
