"""Crashes at any point: task and plan together, driven with lists in place of Kafka."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from small_operators import Summing, drive, event, messages, plan

from gress_ml.operator import BatchPolicy
from gress_ml.record import FileRecord
from gress_ml.runtime.plan import Plan, Route, Step
from gress_ml.runtime.task import (
    Commit,
    Done,
    PartitionTask,
    RunBatch,
    SaveSnapshot,
    TakeSnapshot,
    TaskSettings,
    Wait,
)

SUMS = Route("sums", "out", "sum", {"id": "id", "sum": "sum", "offset": "offset"})


def fresh_plan() -> Plan:
    return plan(Step("sum", Summing(), "events"), routes=[SUMS])


@dataclass
class Outside:
    """What outlives a worker: the log, its outputs, the committed offset, the last snapshots."""

    log: list[FileRecord]
    keep: int
    committed: int = 0
    outputs: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[tuple[int, dict[str, tuple[int, bytes]]]] = field(default_factory=list)
    lost_commits: bool = False

    def newest(self) -> tuple[int, dict[str, tuple[int, bytes]]] | None:
        fitting = [saved for saved in self.snapshots if saved[0] <= self.committed]
        return max(fitting, key=lambda saved: saved[0], default=None)

    def save(self, offset: int, state: dict[str, tuple[int, bytes]]) -> None:
        self.snapshots = [*self.snapshots, (offset, state)][-self.keep :]


class Owner:
    """One worker's life with the partition; ``turn`` by ``turn``, so that it can end anywhere."""

    def __init__(self, outside: Outside, config: TaskSettings) -> None:
        self.outside = outside
        self.plan = fresh_plan()
        saved = outside.newest()
        start, state = saved or (0, {})  # else from the beginning of the log
        self.plan.restore(state)
        self.now = 0.0
        self.task = PartitionTask(
            start=start,
            committed=outside.committed,
            stateful=self.plan.stateful,
            settings=config,
            now=self.now,
            restored=saved is not None,
        )
        self.unread = deque(record for record in outside.log if record.offset >= start)
        self.waiting: deque[tuple[str, Any]] = deque()
        self.done = False

    def read(self, count: int) -> None:
        if self.task.wants_records:
            chunk = [self.unread.popleft() for _ in range(min(count, len(self.unread)))]
            self.task.receive(chunk, self.now)

    def turn(self) -> None:
        """One action of the task; each takes its time."""
        self.now += 0.2
        match self.task.next(self.now):
            case RunBatch() as batch:
                result = drive(self.plan, [*batch.records])  # type: ignore[list-item]
                if batch.replay:
                    self.task.replayed(batch.end)
                else:
                    self.outside.outputs += [dict(m) for m in messages(result, "out")]
                    self.task.launched(batch.end)
                    self.waiting.append(("acknowledged", batch.end))
            case Commit(offset):
                self.waiting.append(("committed", offset))
            case TakeSnapshot(offset):
                self.taken = (offset, self.plan.snapshot())
            case SaveSnapshot(offset):
                assert self.taken[0] == offset
                self.waiting.append(("saved", self.taken))
            case Wait():
                pass
            case Done():
                self.done = True

    def answer(self, at: int) -> None:
        """One of the answers that are outstanding."""
        if not self.waiting:
            return
        self.waiting.rotate(-(at % len(self.waiting)))
        kind, value = self.waiting.popleft()
        if kind == "acknowledged":
            self.task.acknowledged(value)
        elif kind == "saved":
            self.outside.save(*value)
            self.task.saved(value[0], self.now)
        elif self.outside.lost_commits:
            self.task.commit_failed(self.now)
        else:
            self.outside.committed = value
            self.task.committed(value, self.now)

    def finish(self, *, drain: bool) -> None:
        """Work until nothing is left."""
        for _ in range(1000):
            self.read(3)
            self.turn()
            self.answer(0)
            idle = not self.unread and not self.task.queued and not self.waiting
            if idle and self.outside.committed >= self.task.position:
                break
        if drain:
            self.task.drain()
            for _ in range(50):
                self.turn()
                self.answer(0)
                if self.done:
                    return
            raise AssertionError("the drain does not end")


RECORDS = st.lists(
    st.tuples(
        st.integers(1, 3),  # the step from offset to offset: compaction leaves gaps
        st.sampled_from(["a", "b"]),
        st.sampled_from([1.0, 2.0, 5.0, 13.0, None]),  # 13 is poison, None is garbage
    ),
    min_size=10,
    max_size=40,
)
#: What an owner does before it crashes: actions, reads and answers, in any mixture.
LIFE = st.lists(st.tuples(st.sampled_from("rtta"), st.integers(1, 4)), min_size=10, max_size=60)


def the_log(kinds: list[tuple[int, str, float | None]]) -> list[FileRecord]:
    offset, log = -1, []
    for step, key, x in kinds:
        offset += step
        log.append(FileRecord(offset, b"?") if x is None else event(offset, x, key=key))
    return log


def uninterrupted(log: list[FileRecord]) -> tuple[Any, list[Any]]:
    alone = fresh_plan()
    return alone, [dict(message) for message in messages(drive(alone, log), "out")]


def live(owner: Owner, life: list[tuple[str, int]]) -> None:
    for what, number in life:
        if what == "r":
            owner.read(number)
        elif what == "t":
            owner.turn()
        else:
            owner.answer(number)


@given(
    RECORDS,
    st.lists(st.tuples(LIFE, st.booleans(), st.booleans()), max_size=4),
    st.integers(1, 4),
    st.integers(1, 3),
)
@settings(max_examples=150, deadline=None)
def test_after_any_crashes_state_and_outputs_are_those_of_one_long_run(
    kinds: list[tuple[int, str, float | None]],
    lives: list[tuple[list[tuple[str, int]], bool, bool]],
    size: int,
    keep: int,
) -> None:
    log = the_log(kinds)
    config = TaskSettings(BatchPolicy(size), 0.5, 1.0, queue_limit=6, in_flight_limit=2)
    outside = Outside(log, keep=keep)
    for life, drained, lost_commits in lives:
        outside.lost_commits = lost_commits
        owner = Owner(outside, config)
        live(owner, life)
        if drained and not lost_commits:
            owner.task.drain()
            for _ in range(30):
                owner.turn()
                owner.answer(0)
    outside.lost_commits = False
    last = Owner(outside, config)
    last.finish(drain=True)

    alone, expected = uninterrupted(log)
    assert last.plan.snapshot() == alone.snapshot()
    assert outside.committed == last.task.position
    # at least once, each time the same, and first seen in order
    assert list({m["offset"]: m for m in outside.outputs}.values()) == expected
    assert all(message in expected for message in outside.outputs)


@given(RECORDS, st.integers(0, 30), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_clean_hand_over_repeats_nothing(
    kinds: list[tuple[int, str, float | None]], cut: int, size: int
) -> None:
    log = the_log(kinds)
    config = TaskSettings(BatchPolicy(size), 0.5, 1.0)
    outside = Outside(log[:cut], keep=3)
    Owner(outside, config).finish(drain=True)
    outside.log = log
    Owner(outside, config).finish(drain=True)
    assert outside.outputs == uninterrupted(log)[1]


def test_commits_that_fail_for_long_leave_a_snapshot_to_restore() -> None:
    log = [event(offset, 1.0) for offset in range(200)]
    config = TaskSettings(BatchPolicy(1), 0.5, 1.0)
    outside = Outside(log[:20], keep=3)
    first = Owner(outside, config)
    first.finish(drain=True)
    outside.log = log
    outside.lost_commits = True
    second = Owner(outside, config)
    for _ in range(400):  # many checkpoint intervals
        second.read(1)
        second.turn()
        second.answer(0)
    assert second.task.position > 50
    assert outside.committed == 20
    outside.lost_commits = False
    third = Owner(outside, config)
    third.finish(drain=True)
    assert third.plan.snapshot() == uninterrupted(log)[0].snapshot()
