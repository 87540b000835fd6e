"""Together: small batches that partitions have at the same moment are decided in one call.

As in a group commit of a database (DeWitt et al., Implementation Techniques for Main Memory
Database Systems, SIGMOD 1984): who comes first waits for a moment, takes along who came meanwhile,
and hands each its part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gress_ml.adapters.kafka.sink import Partition
from gress_ml.bundle import ModelUse
from gress_ml.engine.driving import drive
from gress_ml.operator import Lookup, Output
from gress_ml.ports import Float32
from gress_ml.record import Record
from gress_ml.runtime.joint import Part, run_joint, split
from gress_ml.runtime.plan import Call, Plan, Result

#: In larger batches the rows cost more than the batch, and other partitions' calls overlap them.
MOST_ROWS = 256

Run = Callable[[Call], Output | Awaitable[Output]]
Fetch = Callable[[Sequence[Lookup]], Awaitable[Sequence[Float32 | None]]]
_Kind = tuple[str, tuple[ModelUse, ...]]  # who may come together: one input, the same models


class Member(Protocol):
    """A partition that may be decided together with others."""

    @property
    def partition(self) -> Partition: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def ready(self) -> bool:
        """Whether records wait here and none are being decided."""
        ...


class _AloneError(Exception):
    """Who took others along was stopped: they decide for themselves."""


@dataclass(slots=True)
class _Group:
    parts: list[Part] = field(default_factory=list)
    answers: list[asyncio.Future[Result]] = field(default_factory=list)  # of all but the first
    rows: int = 0

    def add(self, part: Part) -> None:
        self.parts.append(part)
        self.rows += len(part[1])


class Together:
    """Decides batches of the partitions of a worker, which enter and leave."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._members: dict[str, set[Member]] = {}  # by topic
        self._gathering: dict[_Kind, _Group] = {}

    def enter(self, member: Member) -> None:
        """Let a partition be asked whether it is ready."""
        self._members.setdefault(member.partition[0], set()).add(member)

    def leave(self, member: Member) -> None:
        """Ask it no longer."""
        self._members[member.partition[0]].discard(member)

    async def decide(self, member: Member, records: Sequence[Record], fetch: Fetch) -> Result:
        """The result of these records of one partition. Raises what its plan raises."""
        if not member.plan.partition_free or len(records) >= MOST_ROWS:
            return await self._alone(member, records, fetch)
        kind = (member.partition[0], member.plan.uses)
        group = self._gathering.get(kind)
        if group is not None and group.rows + len(records) <= MOST_ROWS:
            try:
                return await _follow(group, (member.partition[1], records))
            except _AloneError:
                return await self._alone(member, records, fetch)
        if any(other.ready for other in self._members[kind[0]]):
            return await self._lead(kind, member, records, fetch)
        return await self._alone(member, records, fetch)

    async def _alone(self, member: Member, records: Sequence[Record], fetch: Fetch) -> Result:
        return await drive(member.plan.run(*member.partition, records), self._run, fetch)

    async def _lead(
        self, kind: _Kind, member: Member, records: Sequence[Record], fetch: Fetch
    ) -> Result:
        group = self._gathering[kind] = _Group()
        group.add((member.partition[1], records))
        try:
            await asyncio.sleep(0)  # all partitions that a fetch brought records for are awake
            self._close(kind, group)
            if not group.answers:
                return await self._alone(member, records, fetch)
            flow = run_joint(member.plan, kind[0], group.parts)
            whole = await drive(flow, self._run, fetch)
            own, *others = split(whole, [len(part) for _, part in group.parts])
        except BaseException:
            self._close(kind, group)
            for answer in group.answers:
                if not answer.done():
                    answer.set_exception(_AloneError())
            raise
        for answer, result in zip(group.answers, others, strict=True):
            if not answer.done():  # else its partition was taken away
                answer.set_result(result)
        # all hand over their outputs in one turn of the loop: they leave in one request, where the
        # first alone would be sent ahead, and the others wait until it is acknowledged
        await asyncio.sleep(0)
        return own

    def _close(self, kind: _Kind, group: _Group) -> None:
        if self._gathering.get(kind) is group:
            del self._gathering[kind]


async def _follow(group: _Group, part: Part) -> Result:
    group.add(part)
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    group.answers.append(answer)
    return await answer
