"""Real Kafka, Redis and PostgreSQL on a bare machine, without containers and without root.

Reading order: ``servers`` (what callers use), ``server`` (what one server must tell), then one
file per server (``kafka``, ``redis``, ``postgres``, ``mock_kafka``) and the pieces they share
(``kafka_node``, ``settings``, ``process``, ``port``, ``lock``, ``record``).
"""
