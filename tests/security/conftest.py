"""One Kafka with TLS and one Redis behind TLS for the session, both with planted secrets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from secure_kafka import SecureKafka
from secure_redis import TlsRedis


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"secure_kafka", "tls_redis"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker that lets in who shows a password over TLS, or a certificate."""
    broker = SecureKafka(tmp_path_factory.mktemp("secure-kafka"))
    try:
        yield broker.start()
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    """A Redis that is reached by ``rediss://`` and asks for a password."""
    server = TlsRedis(tmp_path_factory.mktemp("tls-redis"))
    try:
        yield server.start()
    finally:
        server.stop()
