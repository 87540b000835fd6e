"""Small batches that partitions have at the same moment are decided in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from gress_ml.batch import JOINT, Batch
from gress_ml.bundle import ModelUse
from gress_ml.engine.together import MOST_ROWS, Together
from gress_ml.operator import Operator, OperatorConfig, Output, Snapshot
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.plan import Call, Plan, Result, Route, Step
from gress_ml.schema import Columns, ColumnType, EventSchema, Field

SCHEMA = EventSchema("e", (Field("x", ColumnType.FLOAT, required=True),))


class Echo(Operator[OperatorConfig]):
    """Hands rows on."""

    name = "echo"
    Config = OperatorConfig
    partition_free = True

    def reads(self) -> frozenset[str]:
        return frozenset({"x"})

    def signature(self, columns: Columns) -> Columns:
        return columns

    def process(self, batch: Batch) -> Output:
        return Output(batch)


class Bound(Echo):
    """Depends on its partition, for all that the engine knows."""

    partition_free = False


class Remembering(Echo):
    """Has state."""

    def snapshot(self) -> Snapshot:
        return Snapshot(1, b"")


class World:
    """Partitions of one worker, with a log of the batches that were decided."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []  # partition and rows
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail: list[Exception] = []
        self.together = Together(self._run)

    async def _run(self, call: Call) -> Output:
        self.batches.append((call.batch.partition, len(call.batch)))
        await self.gate.wait()
        return call.step.operator.process(call.batch)

    async def until(self, calls: int) -> None:
        """Let so many calls begin."""
        async with asyncio.timeout(60):
            while len(self.batches) < calls:  # noqa: ASYNC110 - the condition is in code under test
                await asyncio.sleep(0)

    def member(self, partition: int, kind: type[Echo] = Echo, *, version: str = "1.0.0") -> Member:
        step = Step("s", kind(OperatorConfig()), "in", (ModelUse("m", "champion", version),))
        fields = {"x": "x", "decision_id": "decision_id"}
        plan = Plan("in", Decoder(SCHEMA), [step], [Route("o", "out", "s", fields)])
        member = Member(("t", partition), plan)
        self.together.enter(member)
        return member

    def decide(self, member: Member, rows: int) -> asyncio.Task[Result]:
        """As its runner does when it is woken."""

        async def decided() -> Result:
            member.ready = False
            records = [FileRecord(10 + i, b'{"x": 1}', b"k", 1) for i in range(rows)]
            return await self.together.decide(member, records, _nothing_to_fetch)

        member.ready = True
        return asyncio.create_task(decided())


@dataclass(eq=False)
class Member:
    partition: tuple[str, int]
    plan: Plan
    ready: bool = field(default=False)


async def _nothing_to_fetch(lookups: Sequence[Any]) -> Sequence[None]:
    raise AssertionError("nothing is looked up")


def ids(result: Result) -> list[str]:
    return [
        value.decode().split('"decision_id":"')[1].split('"')[0]
        for produced in result.produced
        for value in produced.values
    ]


async def finished(tasks: Sequence[asyncio.Task[Result]]) -> list[list[str]]:
    async with asyncio.timeout(60):
        return [ids(result) for result in await asyncio.gather(*tasks)]


async def test_partitions_that_are_awake_together_share_one_call() -> None:
    world = World()
    members = [world.member(number) for number in range(4)]
    found = await finished([world.decide(member, 2) for member in members])
    assert world.batches == [(JOINT, 8)]
    assert found == [[f"t-{number}-10", f"t-{number}-11"] for number in range(4)]


async def test_one_that_is_alone_waits_for_nobody() -> None:
    world = World()
    member, _ = world.member(0), world.member(1)
    assert await finished([world.decide(member, 3)]) == [["t-0-10", "t-0-11", "t-0-12"]]
    assert world.batches == [(0, 3)]


async def test_large_batches_are_decided_alone() -> None:
    world = World()
    members = [world.member(number) for number in range(2)]
    await finished([world.decide(member, MOST_ROWS) for member in members])
    assert world.batches == [(0, MOST_ROWS), (1, MOST_ROWS)]


async def test_who_does_not_fit_any_more_begins_another_batch() -> None:
    world = World()
    members = [world.member(number) for number in range(4)]
    await finished([world.decide(member, MOST_ROWS // 2) for member in members])
    assert world.batches == [(JOINT, MOST_ROWS), (JOINT, MOST_ROWS)]


@pytest.mark.parametrize("kind", [Bound, Remembering])
async def test_what_depends_on_its_partition_is_decided_apart(kind: type[Echo]) -> None:
    world = World()
    members = [world.member(number, kind) for number in range(3)]
    await finished([world.decide(member, 1) for member in members])
    assert world.batches == [(0, 1), (1, 1), (2, 1)]


async def test_partitions_whose_models_differ_for_a_moment_are_decided_apart() -> None:
    world = World()
    old, new = world.member(0), world.member(1, version="2.0.0")
    await finished([world.decide(old, 1), world.decide(new, 1)])
    assert sorted(world.batches) == [(0, 1), (1, 1)]


async def test_when_the_first_is_taken_away_the_others_decide_for_themselves() -> None:
    world = World()
    world.gate.clear()
    first, second = (world.decide(world.member(number), 1) for number in range(2))
    await world.until(1)
    first.cancel()
    await asyncio.wait([first])
    world.gate.set()
    assert await finished([second]) == [["t-1-10"]]
    assert world.batches == [(JOINT, 2), (1, 1)]


async def test_when_another_is_taken_away_the_rest_goes_on() -> None:
    world = World()
    world.gate.clear()
    first, second, third = (world.decide(world.member(number), 1) for number in range(3))
    await world.until(1)
    second.cancel()
    world.gate.set()
    assert await finished([first, third]) == [["t-0-10"], ["t-2-10"]]


async def test_who_comes_while_others_are_being_decided_begins_the_next_batch() -> None:
    world = World()
    world.gate.clear()
    members = [world.member(number) for number in range(4)]
    early = [world.decide(member, 1) for member in members[:2]]
    await world.until(1)
    late = [world.decide(member, 1) for member in members[2:]]
    await world.until(2)
    world.gate.set()
    await finished([*early, *late])
    assert world.batches == [(JOINT, 2), (JOINT, 2)]


async def test_one_that_left_is_not_asked_any_more() -> None:
    world = World()
    gone, stays = world.member(0), world.member(1)
    gone.ready = True
    world.together.leave(gone)
    assert await finished([world.decide(stays, 1)]) == [["t-1-10"]]
    assert world.batches == [(1, 1)]


async def test_all_have_their_results_within_one_turn_of_the_loop() -> None:
    world = World()
    members = [world.member(number) for number in range(4)]
    turn, decided_in = 0, []

    async def decided(member: Member) -> None:
        await world.decide(member, 2)
        decided_in.append(turn)

    async def count() -> None:
        nonlocal turn
        while len(decided_in) < len(members):
            turn += 1
            await asyncio.sleep(0)

    await asyncio.gather(*map(decided, members), count())
    assert len(set(decided_in)) == 1  # what they send in one turn leaves in one request
