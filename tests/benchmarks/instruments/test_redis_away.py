"""Redis is away and comes back, as a storm does it to the servers of ``gress dev``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import numpy as np
import pytest

from benchmarks.chaos.instruments.proxy import Proxy
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.redis import RedisFeatures, RedisSettings
from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.dev.servers import Servers
from gress_ml.errors import StoreUnavailable

pytestmark = pytest.mark.servers

T = TypeVar("T")

_FIELDS = ("a", "b")
_KEYS = [b"k"]
_ROW = np.array([[1.0, 2.0]], np.float32)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    monkeypatch.delenv("GRESS_REDIS", raising=False)
    servers = Servers(tmp_path / "home")
    yield servers
    servers.down()


@asynccontextmanager
async def _store(url: str) -> AsyncIterator[RedisFeatures]:
    """The product's own client, with hardly a back-off."""
    store = RedisFeatures(
        url, SystemClock(), RedisSettings(timeout_s=1.0, backoff_s=0.01, longest_backoff_s=0.01)
    )
    try:
        yield store
    finally:
        await store.close()


async def _answered(call: Callable[[], Awaitable[T]]) -> T:
    """Wait until the store answers: on a busy machine it may be late."""
    async with asyncio.timeout(120):
        while True:
            with suppress(StoreUnavailable):
                return await call()
            await asyncio.sleep(0.02)


async def _put(store: RedisFeatures) -> None:
    await _answered(lambda: store.put("t", _FIELDS, _KEYS, _ROW))


async def _row_again(store: RedisFeatures) -> None:
    """Wait until the row is found."""
    found = await _answered(lambda: store.fetch("t", _FIELDS, _KEYS))
    assert np.array_equal(found, _ROW)


@pytest.mark.parametrize("kill", [True, False])
async def test_redis_that_was_away_is_back_on_its_port_with_its_rows(
    own: Servers, kill: bool
) -> None:
    url = own.up(["redis"]).redis
    async with _store(url) as store:
        await _put(store)
        await asyncio.to_thread(own.stop, "redis", kill=kill)
        with pytest.raises(StoreUnavailable):
            await store.fetch("t", _FIELDS, _KEYS)
        assert await asyncio.to_thread(own.start, "redis") == url
        await _row_again(store)


async def test_redis_behind_a_silent_network_is_given_up_and_found_again(own: Servers) -> None:
    port, target = free_ports(1)[0], urlsplit(own.up(["redis"]).redis).port
    assert target is not None
    with Proxy(port, target) as network:
        async with _store(f"redis://{LOOPBACK}:{port}/0") as store:
            await _put(store)
            for trouble in (network.stall, network.cut):
                trouble()
                with pytest.raises(StoreUnavailable):
                    await store.fetch("t", _FIELDS, _KEYS)
                network.heal()
                await _row_again(store)
