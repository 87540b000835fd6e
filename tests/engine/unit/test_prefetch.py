"""When the next records are asked for."""

from __future__ import annotations

import asyncio

import pytest

from gress_ml.engine import prefetch
from gress_ml.engine.prefetch import MANY_ROWS, Prefetch


class World:
    """A worker with partitions, and requests that wait for them."""

    def __init__(self) -> None:
        self.prefetch = Prefetch()

    def deliver(self, rows: int, partition: int = 0) -> None:
        self.prefetch.delivered(("t", partition), rows)

    async def rest(self, partition: int = 0) -> None:
        self.prefetch.rested(("t", partition))
        await asyncio.sleep(0)

    async def ask(self) -> asyncio.Task[None]:
        """A request that has begun."""
        asking = asyncio.create_task(self.prefetch.ready())
        await asyncio.sleep(0)
        return asking


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(prefetch, "PATIENCE_S", 60.0)  # no test passes because patience ran out
    return World()


async def test_with_nothing_under_way_records_are_asked_for_at_once(world: World) -> None:
    assert (await world.ask()).done()


async def test_few_records_are_decided_first(world: World) -> None:
    world.deliver(1)
    asking = await world.ask()
    assert not asking.done()
    await world.rest()
    assert asking.done()


async def test_while_many_are_decided_the_next_are_on_their_way(world: World) -> None:
    world.deliver(MANY_ROWS - 1)
    asking = await world.ask()
    assert not asking.done()
    await world.rest()
    assert asking.done()
    world.deliver(MANY_ROWS)
    assert (await world.ask()).done()


async def test_many_are_those_of_all_partitions_since_they_rested(world: World) -> None:
    world.deliver(MANY_ROWS - 1, partition=0)
    world.deliver(1, partition=1)
    await world.rest(0)  # a log is worked off, the rest of a fetch is no reason to wait
    assert (await world.ask()).done()
    await world.rest(1)
    world.deliver(1, partition=0)
    assert not (await world.ask()).done()
    await world.rest(0)


async def test_one_partition_at_rest_is_not_all_of_them(world: World) -> None:
    world.deliver(1, partition=0)
    world.deliver(1, partition=1)
    asking = await world.ask()
    await world.rest(0)
    assert not asking.done()
    await world.rest(1)
    assert asking.done()


async def test_requests_to_several_brokers_leave_together(world: World) -> None:
    world.deliver(3)
    asking = [await world.ask() for _ in range(3)]
    await world.rest()
    assert all(one.done() for one in asking)


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "PATIENCE_S", 0.01)
    world = World()
    world.deliver(1)
    async with asyncio.timeout(60):
        await world.prefetch.ready()


async def test_a_request_that_is_cancelled_leaves_nothing_behind(world: World) -> None:
    world.deliver(1)
    asking = await world.ask()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    other = await world.ask()
    await world.rest()
    assert other.done()
