"""One Kafka with TLS and one Redis behind TLS for the session, both with planted secrets."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from secure_kafka import HOST, Certificates, SecureKafka

from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.dev.redis import redis_binary

REDIS_PASSWORD = "redis-Password-1702"


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


class TlsRedis:
    """A real Redis with a password behind a door with TLS: the wheel's server has none itself."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates.made_in(folder / "certificates")
        self._folder = folder
        self._door = socket.create_server((LOOPBACK, 0))
        (self._inner,) = free_ports(1)
        self._port = self._door.getsockname()[1]
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(self.certificates.server)

    def url(self, ca: Path | None = None, host: str = HOST, password: str = REDIS_PASSWORD) -> str:
        trusted = ca or self.certificates.ca
        return f"rediss://:{password}@{host}:{self._port}/0?ssl_ca_certs={trusted}"

    def start(self) -> TlsRedis:
        self._process = subprocess.Popen(
            [
                *(str(redis_binary()), "--port", str(self._inner), "--bind", LOOPBACK),
                *("--save", "", "--dir", str(self._folder), "--requirepass", REDIS_PASSWORD),
            ],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(200):
            with suppress(OSError):
                socket.create_connection((LOOPBACK, self._inner), timeout=1).close()
                break
            time.sleep(0.02)
        threading.Thread(target=self._let_in, daemon=True).start()
        return self

    def stop(self) -> None:
        self._door.close()
        self._process.kill()
        self._process.wait()

    def _let_in(self) -> None:
        with suppress(OSError):
            while True:
                outside, _ = self._door.accept()
                threading.Thread(target=self._serve, args=(outside,), daemon=True).start()

    def _serve(self, outside: socket.socket) -> None:
        with suppress(OSError), outside:
            tls = self._context.wrap_socket(outside, server_side=True)
            with tls, socket.create_connection((LOOPBACK, self._inner)) as inside:
                inside.settimeout(10)
                tls.settimeout(10)
                while request := tls.recv(65536):  # Redis answers each request in turn
                    inside.sendall(request)
                    tls.sendall(inside.recv(1 << 20))


@pytest.fixture(scope="session")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    """A Redis that is reached by ``rediss://`` and asks for a password."""
    server = TlsRedis(tmp_path_factory.mktemp("tls-redis"))
    try:
        yield server.start()
    finally:
        server.stop()
