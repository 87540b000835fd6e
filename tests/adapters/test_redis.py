"""Redis away and back, its time to live, what it is sent, and what is never printed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis

from gress_ml.adapters.breaker import Breaker
from gress_ml.adapters.clock import ManualClock, SystemClock
from gress_ml.adapters.redis import RedisFeatures, RedisSettings, layout_of, redacted
from gress_ml.errors import ConfigError, StoreUnavailable

pytestmark = pytest.mark.servers
FIELDS = ("ratio", "hits")
ROW = np.array([[1.5, 2.5]], np.float32)
PATIENT = RedisSettings(ttl_s=3600, timeout_s=30)


async def test_redis_away_and_back_needs_no_restart(own_redis: Any) -> None:
    clock = ManualClock()
    store = RedisFeatures(own_redis.url, clock, PATIENT)
    await store.put("vm", FIELDS, [b"a"], ROW)
    own_redis.stop()
    with pytest.raises(StoreUnavailable, match="feature store redis://127"):
        await store.fetch("vm", FIELDS, [b"a"])
    own_redis.start()
    with pytest.raises(StoreUnavailable, match="away, next try soon"):
        await store.fetch("vm", FIELDS, [b"a"])  # still backing off
    clock.advance(PATIENT.backoff_s)
    assert np.isnan(await store.fetch("vm", FIELDS, [b"a"])).all()  # it came back empty
    await store.put("vm", FIELDS, [b"a"], ROW)
    np.testing.assert_array_equal(await store.fetch("vm", FIELDS, [b"a"]), ROW)
    await store.close()


async def test_a_restart_between_two_calls_does_not_show(own_redis: Any) -> None:
    """Connections from before are stale: one fresh try each, and scripts are sent again."""
    store = RedisFeatures(own_redis.url, ManualClock(), PATIENT)
    await store.put("vm", FIELDS, [b"a"], ROW)
    own_redis.stop()
    own_redis.start()
    await store.put("vm", FIELDS, [b"a"], ROW)
    np.testing.assert_array_equal(await store.fetch("vm", FIELDS, [b"a"]), ROW)
    await store.close()


async def test_while_away_calls_fail_at_once(own_redis: Any) -> None:
    """Without a try: what would be written now is not."""
    own_redis.stop()
    store = RedisFeatures(own_redis.url, ManualClock(), PATIENT)
    with pytest.raises(StoreUnavailable):
        await store.fetch("vm", FIELDS, [b"a"])
    own_redis.start()
    for _ in range(100):
        with pytest.raises(StoreUnavailable, match="away, next try soon"):
            await store.put("vm", FIELDS, [b"a"], ROW)
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.dbsize() == 0
    await store.close()


async def test_a_server_that_hangs_is_given_up_in_time(own_redis: Any) -> None:
    """Long before it answers: it hangs for an hour."""
    store = RedisFeatures(own_redis.url, SystemClock(), RedisSettings(timeout_s=0.05))
    with redis.Redis.from_url(own_redis.url) as client:
        client.client_pause(3_600_000)
        async with asyncio.timeout(60):
            with pytest.raises(StoreUnavailable, match="Timeout"):
                await store.put("vm", FIELDS, [b"a"], ROW)
    await store.close()


async def test_rows_end_with_their_time_to_live(shared_redis: Any) -> None:
    shared_redis.flush()
    for ttl_s, low, high in ((300.0, 200_000, 300_000), (None, -1, -1)):
        settings = RedisSettings(ttl_s=ttl_s, timeout_s=30)
        store = RedisFeatures(shared_redis.url, SystemClock(), settings)
        await store.put("vm", FIELDS, [b"a"], ROW)
        with redis.Redis.from_url(shared_redis.url) as client:
            assert low <= client.pttl(f"gress:vm:{layout_of(FIELDS)}:a") <= high
        await store.close()


async def test_a_short_time_to_live_really_ends(shared_redis: Any) -> None:
    store = RedisFeatures(shared_redis.url, SystemClock(), PATIENT)
    brief = RedisFeatures(shared_redis.url, SystemClock(), replace(PATIENT, ttl_s=0.05))
    await store.put("vm", FIELDS, [b"long"], ROW)
    await brief.put("vm", FIELDS, [b"short"], ROW)
    async with asyncio.timeout(60):
        while True:
            long, short = await store.fetch("vm", FIELDS, [b"long", b"short"])
            if np.isnan(short).all():
                break
            await asyncio.sleep(0.01)
    np.testing.assert_array_equal(long, ROW[0])
    await store.close()
    await brief.close()


async def test_a_row_of_another_length_is_missing(shared_redis: Any) -> None:
    store = RedisFeatures(shared_redis.url, SystemClock(), PATIENT)
    key = f"gress:vm:{layout_of(FIELDS)}:odd"
    with redis.Redis.from_url(shared_redis.url) as client:
        for value in (b"", b"abc", b"x" * 12):
            client.set(key, value)
            assert np.isnan(await store.fetch("vm", FIELDS, [b"odd"])).all()
        client.delete(key)
        client.rpush(key, "a list")
        assert np.isnan(await store.fetch("vm", FIELDS, [b"odd"])).all()
        client.delete(key)
    await store.close()


async def test_one_command_per_batch(shared_redis: Any) -> None:
    store = RedisFeatures(shared_redis.url, SystemClock(), PATIENT)
    keys = [str(i).encode() for i in range(500)]
    values = np.zeros((500, 2), np.float32)
    await store.put("vm", FIELDS, keys, values)  # sends the script
    with redis.Redis.from_url(shared_redis.url) as client:
        client.config_resetstat()
        await store.put("vm", FIELDS, keys, values)
        await store.fetch("vm", FIELDS, keys)
        calls = {name: stat["calls"] for name, stat in dict(client.info("commandstats")).items()}
    assert calls["cmdstat_evalsha"] == 1
    assert calls["cmdstat_mget"] == 1
    assert "cmdstat_eval" not in calls
    await store.close()


async def test_without_scripting_a_pipeline_does_it(start_redis: Any) -> None:
    renamed = [part for name in ("EVAL", "EVALSHA") for part in ("--rename-command", name, "")]
    server = start_redis(*renamed)
    store = RedisFeatures(server.url, SystemClock(), PATIENT)
    await store.put("vm", FIELDS, [b"a"], ROW)
    await store.put("vm", FIELDS, [b"a"], ROW)
    np.testing.assert_array_equal(await store.fetch("vm", FIELDS, [b"a"]), ROW)
    with redis.Redis.from_url(server.url) as client:
        assert client.pttl(f"gress:vm:{layout_of(FIELDS)}:a") > 0
    await store.close()


async def test_a_wrong_password_is_named_without_printing_it(start_redis: Any) -> None:
    server = start_redis("--requirepass", "right-secret")
    good = server.url.replace("redis://", "redis://:right-secret@")
    store = RedisFeatures(good, SystemClock(), PATIENT)
    await store.put("vm", FIELDS, [b"a"], ROW)
    await store.close()
    bad = RedisFeatures(good.replace("right", "wrong"), SystemClock(), PATIENT)
    with pytest.raises(StoreUnavailable, match="Auth") as caught:
        await bad.fetch("vm", FIELDS, [b"a"])
    assert "secret" not in str(caught.value) + repr(bad)
    await bad.close()


@pytest.mark.parametrize(
    "url", ["redis://u:secret@h:6379/0?password=secret", "rediss://:secret@h:6379/0"]
)
def test_a_redacted_url_has_no_secret(url: str) -> None:
    assert redacted(url) == f"{url.split(':')[0]}://h:6379/0"


@pytest.mark.parametrize("url", ["http://:secret@h", "redis://:secret@h:port/0", "nonsense"])
def test_a_url_that_is_none_is_refused_without_printing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="expected a URL such as redis") as caught:
        RedisFeatures(url, SystemClock())
    assert "secret" not in str(caught.value)


# --- the breaker ----------------------------------------------------------------------------------


def test_the_backoff_doubles_up_to_its_longest() -> None:
    clock = ManualClock()
    breaker = Breaker("store", clock, 1.0, 4.0)
    for wait in (1.0, 2.0, 4.0, 4.0):
        breaker.enter()
        breaker.failed("away")
        clock.advance(wait - 0.01)
        with pytest.raises(StoreUnavailable, match="store: away"):
            breaker.enter()
        clock.advance(0.02)
    breaker.enter()
    breaker.succeeded()
    breaker.enter()
    breaker.failed("away")
    clock.advance(1.0)
    breaker.enter()


def test_one_caller_tries_while_the_others_are_refused() -> None:
    clock = ManualClock()
    breaker = Breaker("store", clock, 1.0, 4.0)
    breaker.failed("away")
    clock.advance(1.0)
    breaker.enter()
    with pytest.raises(StoreUnavailable):
        breaker.enter()
    breaker.succeeded()
    breaker.enter()
