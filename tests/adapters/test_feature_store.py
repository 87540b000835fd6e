"""What every feature store does, in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from gress_ml.adapters.clock import ManualClock, SystemClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.adapters.redis import RedisFeatures, RedisSettings
from gress_ml.ports import FeatureStore

FIELDS = ("ratio", "hits")


def rows(*values: tuple[float, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


@pytest_asyncio.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[FeatureStore]:
    if request.param == "memory":
        made: FeatureStore = MemoryFeatures(SystemClock(), ttl_s=600)
    else:
        settings = RedisSettings(prefix=uuid.uuid4().hex, ttl_s=600, timeout_s=30)
        made = RedisFeatures(request.getfixturevalue("redis_url"), SystemClock(), settings)
    yield made
    await made.close()


async def test_what_was_put_is_fetched(store: FeatureStore) -> None:
    await store.put("vm", FIELDS, [b"a", b"b"], rows((1.5, 2), (3, 4)))
    answer = await store.fetch("vm", FIELDS, [b"b", b"a", b"b"])
    np.testing.assert_array_equal(answer, rows((3, 4), (1.5, 2), (3, 4)))
    assert answer.dtype == np.float32
    answer[0, 0] = 7  # the caller owns it


async def test_a_row_that_is_not_there_is_nan(store: FeatureStore) -> None:
    await store.put("vm", FIELDS, [b"a"], rows((1, 2)))
    answer = await store.fetch("vm", FIELDS, [b"x", b"a"])
    assert np.isnan(answer[0]).all()
    assert answer[1].tolist() == [1, 2]


async def test_the_last_row_of_a_key_counts(store: FeatureStore) -> None:
    await store.put("vm", FIELDS, [b"a", b"a"], rows((1, 1), (2, 2)))
    await store.put("vm", FIELDS, [b"b"], rows((1, 1)))
    await store.put("vm", FIELDS, [b"b"], rows((3, 3)))
    answer = await store.fetch("vm", FIELDS, [b"a", b"b"])
    np.testing.assert_array_equal(answer, rows((2, 2), (3, 3)))


async def test_tables_and_layouts_are_apart(store: FeatureStore) -> None:
    await store.put("vm", FIELDS, [b"a"], rows((1, 2)))
    assert np.isnan(await store.fetch("host", FIELDS, [b"a"])).all()
    assert np.isnan(await store.fetch("vm", ("hits", "ratio"), [b"a"])).all()
    assert np.isnan(await store.fetch("vm", ("ratio",), [b"a"])).all()


async def test_nan_and_infinity_survive(store: FeatureStore) -> None:
    await store.put("vm", FIELDS, [b"a"], rows((np.nan, np.inf)))
    np.testing.assert_array_equal(
        await store.fetch("vm", FIELDS, [b"a"]), rows((np.nan, np.inf)), strict=True
    )


async def test_an_empty_batch_is_no_call(store: FeatureStore) -> None:
    assert (await store.fetch("vm", FIELDS, [])).shape == (0, 2)
    await store.put("vm", FIELDS, [], np.empty((0, 2), np.float32))


async def test_any_bytes_are_a_key(store: FeatureStore) -> None:
    keys = [b"", b"\x00\xff", b"a:b", b"a b", "ü".encode()]
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    await store.put("vm", FIELDS, keys, values)
    np.testing.assert_array_equal(await store.fetch("vm", FIELDS, keys), values)


async def test_a_whole_batch_in_any_memory_order(store: FeatureStore) -> None:
    keys = [str(i).encode() for i in range(2000)]
    values = np.asfortranarray(np.random.default_rng(1).random((2000, 2), np.float32))
    await store.put("vm", FIELDS, keys, values)
    np.testing.assert_array_equal(await store.fetch("vm", FIELDS, keys), values)


async def test_later_changes_of_the_callers_array_do_not_show(store: FeatureStore) -> None:
    mine = rows((1, 2))
    await store.put("vm", FIELDS, [b"a"], mine)
    mine[:] = 9
    np.testing.assert_array_equal(await store.fetch("vm", FIELDS, [b"a"]), rows((1, 2)))


async def test_calls_may_overlap(store: FeatureStore) -> None:
    await asyncio.gather(
        *(store.put("vm", FIELDS, [str(i).encode()], rows((i, i))) for i in range(50))
    )
    answers = await asyncio.gather(
        *(store.fetch("vm", FIELDS, [str(i).encode()]) for i in range(50))
    )
    assert [answer[0, 0] for answer in answers] == [*range(50)]


# --- memory alone ---------------------------------------------------------------------------------


async def test_a_row_ends_with_its_time_to_live() -> None:
    clock = ManualClock()
    store = MemoryFeatures(clock, ttl_s=300)
    await store.put("vm", FIELDS, [b"a"], rows((1, 2)))
    clock.advance(299.9)
    assert (await store.fetch("vm", FIELDS, [b"a"])).tolist() == [[1, 2]]
    clock.advance(0.2)  # reading did not lengthen it
    assert np.isnan(await store.fetch("vm", FIELDS, [b"a"])).all()
    assert len(store) == 0


async def test_memory_is_bounded_and_drops_what_is_longest_unused() -> None:
    store = MemoryFeatures(ManualClock(), max_rows=2)
    await store.put("vm", FIELDS, [b"a", b"b"], rows((1, 1), (2, 2)))
    await store.fetch("vm", FIELDS, [b"a"])
    await store.put("vm", FIELDS, [b"c"], rows((3, 3)))
    answer = await store.fetch("vm", FIELDS, [b"a", b"b", b"c"])
    assert np.isnan(answer[:, 0]).tolist() == [False, True, False]
