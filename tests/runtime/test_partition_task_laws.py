"""The laws of PartitionTask under any order of events: the machine below plays the shell."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gress_ml.operator import BatchPolicy
from gress_ml.record import FileRecord
from gress_ml.runtime.task import (
    Commit,
    Done,
    PartitionTask,
    Phase,
    RunBatch,
    SaveSnapshot,
    TakeSnapshot,
    TaskSettings,
    Wait,
)

LOG_END = 60


class Shell(RuleBasedStateMachine):
    @initialize(
        missing=st.sets(st.integers(0, LOG_END - 1), max_size=40),
        start=st.integers(0, 12),
        behind=st.integers(0, 12),
        size=st.integers(1, 6),
        timeout_s=st.sampled_from([0.0, 0.5, 2.0]),
        stateful=st.booleans(),
        exclusive=st.booleans(),
        in_flight_limit=st.integers(1, 4),
        queue_limit=st.integers(1, 10),
        slow=st.booleans(),
        restored=st.booleans(),
    )
    def open(
        self,
        missing: set[int],
        start: int,
        behind: int,
        size: int,
        timeout_s: float,
        stateful: bool,
        exclusive: bool,
        in_flight_limit: int,
        queue_limit: int,
        slow: bool,
        restored: bool,
    ) -> None:
        self.log = [offset for offset in range(LOG_END) if offset not in missing]
        self.start, self.first_commit = start, start + (behind if stateful else 0)
        self.config = TaskSettings(
            BatchPolicy(size, timeout_s), 0.5, 3.0, queue_limit, in_flight_limit, exclusive
        )
        self.now = 100.0
        self.task = PartitionTask(
            start=start,
            committed=self.first_commit,
            stateful=stateful,
            settings=self.config,
            now=self.now,
            restored=restored or not stateful,
        )
        self.stateful = stateful
        self.slow = slow  # whether a batch takes its time, so that things happen meanwhile
        self.running: RunBatch | None = None
        self.read = start  # the consumer's position
        self.arrived: dict[int, float] = {}
        self.ran: list[int] = []
        self.acknowledged: set[int] = set()  # offsets
        self.unacknowledged: list[tuple[int, list[int]]] = []
        self.committed = self.first_commit
        self.committing: int | None = None
        self.saved = [start] if restored else []
        self.saving: int | None = None
        self.taken: int | None = None
        self.draining = False
        self.done = False
        self.let_go = False  # a commit or a snapshot failed while draining

    # --- what happens ---------------------------------------------------------------------------

    @precondition(lambda self: self.task.wants_records)
    @rule(count=st.integers(1, 8), back=st.integers(0, 3))
    def records_come(self, count: int, back: int) -> None:
        """The next records of the log; some may have been read before."""
        behind = [offset for offset in self.log if self.start <= offset < self.read][-back:]
        ahead = [offset for offset in self.log if offset >= self.read][:count]
        offsets = (behind if back else []) + ahead
        for offset in ahead:
            self.arrived[offset] = self.now
        if ahead:
            self.read = ahead[-1] + 1
        queued = self.task.queued
        self.task.receive([FileRecord(offset, b"{}") for offset in offsets], self.now)
        assert self.task.queued == queued + len(ahead)
        self.wake()

    @rule(rows=st.integers(1, 8))
    def batches_of_so_many_rows_are_in_time(self, rows: int) -> None:
        self.task.most_rows = rows
        self.wake()

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.wake()

    @precondition(lambda self: self.unacknowledged)
    @rule(data=st.data())
    def outputs_are_acknowledged(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.unacknowledged) - 1))
        end, offsets = self.unacknowledged.pop(at)
        self.task.acknowledged(end)
        self.acknowledged.update(offsets)
        self.wake()

    @precondition(lambda self: self.running is not None)
    @rule()
    def batch_is_run(self) -> None:
        self.ran_batch()
        self.wake()

    @precondition(lambda self: self.committing is not None)
    @rule(well=st.booleans())
    def commit_answers(self, well: bool) -> None:
        assert self.committing is not None
        if well:
            self.committed = self.committing
            self.task.committed(self.committing, self.now)
        else:
            self.let_go |= self.draining
            self.task.commit_failed(self.now)
        self.committing = None
        self.wake()

    @precondition(lambda self: self.saving is not None)
    @rule(well=st.booleans())
    def snapshot_answers(self, well: bool) -> None:
        assert self.saving is not None
        if well:
            self.saved.append(self.saving)
            self.task.saved(self.saving, self.now)
        else:
            self.let_go |= self.draining
            self.task.save_failed(self.now)
        self.saving = None
        self.wake()

    @precondition(lambda self: not self.draining)
    @rule(really=st.integers(0, 20))
    def partition_is_revoked(self, really: int) -> None:
        if really == 20:
            self.draining = True
            self.task.drain()
            self.wake()

    # --- the shell's own part -------------------------------------------------------------------

    def wake(self) -> None:
        """Perform actions until there is none."""
        for _ in range(200):
            if self.running is not None or self.done or not self.act():
                return
        raise AssertionError("the shell spins")

    def act(self) -> bool:
        """Perform the next action; False when the shell goes to sleep."""
        match self.task.next(self.now):
            case RunBatch() as batch:
                self.run(batch)
            case Commit(offset):
                self.commit(offset)
            case TakeSnapshot(offset):
                assert self.stateful
                assert self.saving is None
                assert offset == self.task.position
                self.taken = offset
            case SaveSnapshot(offset):
                assert self.saving is None
                assert offset == self.taken
                assert offset <= self.committed
                assert not self.saved or offset > self.saved[-1]
                if self.draining and self.saved:
                    assert offset == self.committed
                self.saving = offset
            case Wait(until):
                assert until is None or until > self.now, "the shell would spin"
                self.check_no_reason_to_run()
                return False
            case Done():
                assert self.draining
                assert not self.unacknowledged
                assert self.committing is None
                assert self.saving is None
                self.done = True
                return False
        return True

    @property
    def size(self) -> int:
        return min(self.config.batch.size, self.task.most_rows)

    def run(self, batch: RunBatch) -> None:
        offsets = [record.offset for record in batch.records]
        assert not self.draining
        assert 0 < len(offsets) <= self.size
        assert len(self.unacknowledged) < self.config.in_flight_limit
        if self.config.exclusive_commit:
            assert self.committing is None
        # each once, in order, none left out
        expected = [o for o in self.log if o >= self.start][: len(self.ran) + len(offsets)]
        assert self.ran + offsets == expected
        self.ran += offsets
        # full, or its first record has waited, or the next is beyond the end of the replay
        waited = self.now - self.arrived[offsets[0]] >= self.config.batch.timeout_s
        full = len(offsets) + self.task.queued >= self.size
        assert waited or full
        assert batch.end == offsets[-1] + 1
        if batch.replay:
            assert batch.end <= self.first_commit
        else:
            assert offsets[0] >= self.first_commit
        self.running = batch
        if not self.slow:
            self.ran_batch()

    def ran_batch(self) -> None:
        batch, self.running = self.running, None
        assert batch is not None
        if batch.replay:
            self.task.replayed(batch.end)
        else:
            self.task.launched(batch.end)
            self.unacknowledged.append((batch.end, [record.offset for record in batch.records]))

    def commit(self, offset: int) -> None:
        assert self.committing is None
        assert offset > self.committed
        before = [o for o in self.log if self.first_commit <= o < offset]
        assert set(before) <= self.acknowledged
        if self.config.exclusive_commit:
            assert not self.unacknowledged
        if self.stateful:
            assert any(saved <= offset for saved in self.saved), "nothing to restore"
        self.committing = offset

    def check_no_reason_to_run(self) -> None:
        """Sleep only when no record is ready, or something else is waited for."""
        if self.draining or not self.task.queued:
            return
        if len(self.unacknowledged) >= self.config.in_flight_limit:
            return
        if self.config.exclusive_commit and (self.committing is not None or self.unacknowledged):
            return
        waiting = [offset for offset in self.log if offset >= self.start][len(self.ran)]
        assert self.now - self.arrived[waiting] < self.config.batch.timeout_s
        assert self.task.queued < self.size

    # --- laws that always hold ------------------------------------------------------------------

    @invariant()
    def the_queue_is_bounded(self) -> None:
        assert self.task.queued < self.config.queue_limit + 8

    @invariant()
    def the_in_flight_count_is_right(self) -> None:
        assert self.task.in_flight == len(self.unacknowledged)

    @invariant()
    def no_snapshot_is_ahead_of_the_commit(self) -> None:
        assert all(offset <= self.committed for offset in self.saved)

    @invariant()
    def the_phase_is_right(self) -> None:
        if self.draining:
            assert self.task.phase is Phase.DRAIN
        elif self.ran and self.ran[-1] >= self.first_commit:
            assert self.task.phase is Phase.LIVE

    def teardown(self) -> None:
        """From wherever it stands, a drain ends once the answers come, with all committed."""
        if not hasattr(self, "task"):
            return
        self.draining = True
        self.task.drain()
        for _ in range(50):
            if self.running is not None:
                self.ran_batch()
            self.wake()
            if self.done:
                break
            while self.unacknowledged:
                end, offsets = self.unacknowledged.pop()
                self.task.acknowledged(end)
                self.acknowledged.update(offsets)
            if self.committing is not None:
                self.commit_answers(well=True)
            if self.saving is not None:
                self.snapshot_answers(well=True)
        assert self.done
        if not self.let_go and self.ran and self.ran[-1] >= self.first_commit:
            assert self.committed == self.ran[-1] + 1
            if self.stateful:
                assert self.saved[-1] == self.committed


class ShellTest(Shell.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=250, stateful_step_count=60, deadline=None)
