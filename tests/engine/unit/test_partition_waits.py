"""A runner that waits is woken in time, whatever alarm it has set before."""

from __future__ import annotations

import asyncio

import pytest
from test_partition_runner import World

from gress_ml.engine import prefetch
from gress_ml.operator import BatchPolicy
from gress_ml.runtime.task import TaskSettings


@pytest.fixture(autouse=True)
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "PATIENCE_S", 60.0)


def waiting(commit_s: float, checkpoint_s: float) -> World:
    world = World()
    world.runner.task.settings = TaskSettings(BatchPolicy(2), commit_s, checkpoint_s)
    return world


async def saved(world: World, offset: int) -> None:
    async with asyncio.timeout(60):
        while True:
            if offset in await world.snapshots.offsets("t", "in", 0):
                return
            await asyncio.sleep(0.001)


async def test_an_alarm_far_away_does_not_keep_a_commit_waiting() -> None:
    world = waiting(0.01, 30.0)
    for first in (0, 2):
        world.deliver(first, first + 1)
        await world.until(lambda end=first + 2: world.wire.offsets[-1:] == [end])
    await world.end()


async def test_an_alarm_that_rings_early_does_not_lose_what_is_due_later() -> None:
    world = waiting(0.01, 0.05)
    world.deliver(0, 1)
    await world.until(lambda: world.wire.offsets == [2])
    await saved(world, 2)
    await world.end()


async def test_one_partition_with_much_to_do_leaves_turns_to_others() -> None:
    world = waiting(30.0, 30.0)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while len(world.wire.values) < 20:
            turns += 1
            await asyncio.sleep(0)

    world.deliver(*range(20))
    await other()
    assert turns >= 10
    await world.end()


async def asked(world: World) -> None:
    """Return when the next records are asked for."""
    async with asyncio.timeout(60):
        await world.prefetch.ready()


async def test_the_next_records_are_asked_for_when_these_are_decided() -> None:
    world = World()
    world.deliver(0, 1)
    await asked(world)
    assert len(world.wire.values) == 2
    await world.end()


async def test_the_next_records_are_asked_for_while_some_wait_for_a_fuller_batch() -> None:
    world = World()
    world.runner.task.settings = TaskSettings(BatchPolicy(2, 60.0), 30.0, 30.0)
    world.deliver(0)
    await asked(world)
    assert world.runner.task.queued == 1
    world.deliver(1)
    await world.until(lambda: len(world.wire.values) == 2)
    await world.end()
