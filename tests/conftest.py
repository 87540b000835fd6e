"""Real servers for all tests: started on first use, ended with the session, also when it fails.

Servers named in GRESS_KAFKA, GRESS_REDIS and GRESS_POSTGRES are used instead of own ones.
"""

from __future__ import annotations

import re
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from object_stores import ObjectStore

from gress_ml.dev.servers import Servers

# Hypothesis times examples and how they are made: no law of ours is about that, and machines are
# busy. Each run has the same examples, so that it ends the same; others come with
# `--hypothesis-profile explore`.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", _UNTIMED)
settings.register_profile("same", _UNTIMED, derandomize=True)
settings.load_profile("same")


def pytest_configure() -> None:
    """A run that is told to end, as `timeout` does, ends its servers: they would outlive it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


_NEEDS_SERVERS = {"servers", "kafka", "redis_url", "postgres_url"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a server gets the mark ``servers``, without saying so twice."""
    for item in items:
        if _NEEDS_SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


@pytest.fixture(scope="session")
def _session_servers() -> Iterator[Servers]:
    """The session's servers, none of them started yet."""
    home = Path(tempfile.mkdtemp(prefix="gress-tests-"))
    servers = Servers(home)
    try:
        yield servers
    finally:
        servers.down()


@pytest.fixture(scope="session")
def servers(_session_servers: Servers) -> Servers:
    """All servers, up. A test that stops one starts it again, or calls ``up``."""
    _session_servers.up()
    return _session_servers


@pytest.fixture(scope="session")
def kafka(_session_servers: Servers) -> str:
    """Bootstrap servers of a real Kafka."""
    return _session_servers.up(["kafka"]).kafka


@pytest.fixture(scope="session")
def redis_url(_session_servers: Servers) -> str:
    """URL of a real Redis. Its keys are shared by all tests: use a prefix of your own."""
    return _session_servers.up(["redis"]).redis


@pytest.fixture(scope="session")
def postgres_url(_session_servers: Servers) -> str:
    """URL of a real PostgreSQL. Its database is shared by all tests: use a schema of your own."""
    return _session_servers.up(["postgres"]).postgres


@pytest.fixture(scope="session")
def object_stores() -> Iterator[dict[str, ObjectStore]]:
    """The session's servers by scheme, each started when it is first asked for."""
    stores: dict[str, ObjectStore] = {}
    yield stores
    for store in stores.values():
        store.stop()


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> str:
    """A topic name that no other test and no other run has. The topic is not made."""
    test = re.sub(r"[^A-Za-z0-9_-]+", "-", request.node.name)[:60].strip("-")
    return f"{test}-{uuid.uuid4().hex[:12]}"
