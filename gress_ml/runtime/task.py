"""PartitionTask: what to do next for one partition, decided in plain values.

No clock, no sockets, no asyncio. The shell tells it what happened (records came, a batch was
acknowledged, a commit went through) and asks ``next(now)`` what to do::

    phase     asked when                                        answer
    --------  ------------------------------------------------  -------------------------------
    REPLAY    the queue has records before the committed offset RunBatch(replay=True), outputs off
    LIVE      a batch is full, or its first record has waited   RunBatch
              long enough, and fewer than ``in_flight_limit``
              batches await their acknowledgement
    LIVE      ``commit_interval_s`` passed or ``commit_bytes``  Commit
              were made, something to commit
    LIVE      ``checkpoint_interval_s`` passed, state changed;  TakeSnapshot
              or stateful and nothing was restored
    LIVE      the commit has reached the snapshot taken         SaveSnapshot
    LIVE      nothing of these                                  Wait(until) or Wait(None)
    DRAIN     batches await their acknowledgement               Wait(None)
    DRAIN     the first snapshot of all is not saved            SaveSnapshot
    DRAIN     something to commit                               Commit
    DRAIN     state changed, all of it is committed             TakeSnapshot, SaveSnapshot
    DRAIN     nothing of these                                  Done

Laws: batches run in offset order; an offset is committed only after everything made from it and
from all before it was acknowledged; a batch never crosses the end of the replay; a lone record
never waits when ``timeout_s`` is 0; a snapshot is saved only when its offset is committed, and
nothing is committed before there is a snapshot: so the newest one is always one to restore.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice

from gress_ml.operator import BatchPolicy
from gress_ml.record import Record


@dataclass(frozen=True, slots=True)
class RunBatch:
    """Decide these records; then tell ``launched(end)``, or ``replayed(end)`` on replay."""

    records: Sequence[Record]
    end: int  # the offset after the last of them
    replay: bool


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit this offset; then tell ``committed(offset)``, or ``commit_failed()``."""

    offset: int


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Keep the state as it is now in memory: it includes every record before ``offset``."""

    offset: int


@dataclass(frozen=True, slots=True)
class SaveSnapshot:
    """Save the state that was taken at ``offset``; then tell ``saved`` or ``save_failed``."""

    offset: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before ``until`` (monotonic seconds) unless something is told; None: ever."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Done:
    """Drained: nothing is under way and nothing is left to save."""


Action = RunBatch | Commit | TakeSnapshot | SaveSnapshot | Wait | Done


class Phase(Enum):
    REPLAY = auto()
    LIVE = auto()
    DRAIN = auto()


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """How a partition is worked. Times in seconds."""

    batch: BatchPolicy = field(default_factory=BatchPolicy)
    commit_interval_s: float = 0.2
    checkpoint_interval_s: float = 30.0
    queue_limit: int = 4096  # records waiting; past it the partition is paused
    in_flight_limit: int = 4  # batches whose outputs are not yet acknowledged
    #: Whether a commit closes a transaction: then nothing runs beside it.
    exclusive_commit: bool = False
    #: Output bytes after which a commit is due before its time.
    commit_bytes: int = 16 * 1024 * 1024


@dataclass(slots=True)
class _Flight:
    end: int
    acknowledged: bool = False


class PartitionTask:
    """The state machine of one partition, from its assignment to its revocation.

    ``start`` is the offset from which records come: that of the restored snapshot, or
    ``committed``. Records between the two are replayed with outputs suppressed. ``restored`` says
    whether there was a snapshot.
    """

    def __init__(
        self,
        *,
        start: int,
        committed: int,
        stateful: bool,
        settings: TaskSettings,
        now: float,
        restored: bool = False,
    ) -> None:
        self.settings = settings
        self.position = start  # every record before it was run
        self._committed = committed
        self._replay_end = committed
        self._stateful = stateful
        self._running = start  # every record before it was handed out to be run
        self._saved = start
        self._taken: int | None = None
        self._restorable = restored or not stateful
        self._draining = False
        self._committing: int | None = None
        self._saving = False
        self._last_commit_failed = False
        self._last_save_failed = False
        self._queue: deque[Record] = deque()
        #: Rows that a batch may have to be decided in time, as the shell finds; results never show
        #: how the log was cut into batches.
        self.most_rows = settings.batch.size
        self._arrivals: deque[tuple[float, int]] = deque()  # (when, end)
        self._uncommitted_bytes = 0
        self._flights: deque[_Flight] = deque()  # from the first unacknowledged one on
        self._safe = committed  # everything made from before it is acknowledged
        self._commit_due = now + settings.commit_interval_s
        self._save_due = now
        self._checkpoint_due = now + (settings.checkpoint_interval_s if self._restorable else 0.0)

    # --- what happened ----------------------------------------------------------------------------

    def receive(self, records: Sequence[Record], now: float) -> None:
        """Records were read, in order. Those before the position (read twice) are dropped."""
        if self._draining:
            return
        expected = self.expected
        if records and records[0].offset < expected:
            records = [record for record in records if record.offset >= expected]
        if records:
            self._queue.extend(records)
            self._arrivals.append((now, records[-1].offset + 1))

    def launched(self, end: int, size: int = 0) -> None:
        """The batch that ends before ``end`` was run; its outputs, of ``size`` bytes, are sent."""
        self.position = end
        self._uncommitted_bytes += size
        if self._uncommitted_bytes >= self.settings.commit_bytes:
            self._commit_due = -math.inf
        self._flights.append(_Flight(end))

    def replayed(self, end: int) -> None:
        """The batch that ends before ``end`` was run without outputs."""
        self.position = end

    def acknowledged(self, end: int) -> None:
        """Everything made from the batch that ends before ``end`` is safe."""
        for flight in self._flights:
            if flight.end == end:
                flight.acknowledged = True
        while self._flights and self._flights[0].acknowledged:
            self._safe = self._flights.popleft().end

    def committed(self, offset: int, now: float) -> None:
        """The commit went through."""
        self._committed = max(self._committed, offset)
        self._committing = None
        self._commit_due = now + self.settings.commit_interval_s

    def commit_failed(self, now: float) -> None:
        """The commit did not go through: it is tried again after the interval, never in a drain."""
        self._committing = None
        self._last_commit_failed = self._draining
        self._commit_due = now + self.settings.commit_interval_s

    def saved(self, offset: int, now: float) -> None:
        """The snapshot is safe."""
        self._saved = max(self._saved, offset)
        self._restorable = True
        self._taken = None
        self._saving = False
        self._checkpoint_due = now + self.settings.checkpoint_interval_s

    def save_failed(self, now: float) -> None:
        """The snapshot is not safe: the first is tried again after the interval, others taken anew.

        Neither in a drain.
        """
        self._saving = False
        self._last_save_failed = self._draining
        self._save_due = self._checkpoint_due = now + self.settings.checkpoint_interval_s
        if self._restorable:
            self._taken = None

    def drain(self) -> None:
        """Start no more batches; finish what is under way, save, commit.

        Waiting records are let go: they were not committed, so the next owner reads them.
        """
        self._draining = True
        self._queue.clear()
        self._arrivals.clear()

    # --- what is so -------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        if self._draining:
            return Phase.DRAIN
        return Phase.REPLAY if self.position < self._replay_end else Phase.LIVE

    @property
    def expected(self) -> int:
        """The next offset that has not come yet."""
        return self._queue[-1].offset + 1 if self._queue else max(self.position, self._running)

    @property
    def wants_records(self) -> bool:
        """False while the queue is full: then the partition is paused (back-pressure)."""
        return not self._draining and not self.full

    @property
    def full(self) -> bool:
        """Whether as many records wait as may."""
        return len(self._queue) >= self.settings.queue_limit

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Batches whose outputs are not yet acknowledged."""
        return sum(not flight.acknowledged for flight in self._flights)

    @property
    def committable(self) -> int:
        """The offset up to which everything is acknowledged."""
        return max(self._committed, self._safe)

    # --- what to do next --------------------------------------------------------------------------

    def next(self, now: float) -> Action:
        """The next action; asking twice without performing it is a fault of the shell."""
        if self._draining:
            return self._next_drain()
        if self._queue and self._queue[0].offset >= self._replay_end > self.position:
            self.position = self._replay_end  # the rest of the replay does not exist (compaction)
        if self.phase is Phase.LIVE:
            step = self._next_upkeep(now)
            if step is not None:
                return step
            if self.settings.exclusive_commit and self._must_hold(now):
                return Wait(None)
        if self._queue and self.in_flight < self.settings.in_flight_limit:
            ready_at = self._ready_at()
            if now >= ready_at:
                return self._close_batch()
            return Wait(self._earliest(ready_at))
        return Wait(self._earliest(None))

    def _next_drain(self) -> Action:
        if self.in_flight or self._committing is not None or self._saving:
            return Wait(None)
        may_save = not self._last_save_failed
        if may_save and not self._restorable and self._taken is not None:
            return self._save(self._taken)
        if self._may_commit and not self._last_commit_failed:
            return self._commit()
        if may_save and self._changed and self.position == self._committed:
            return self._save(self.position) if self._taken == self.position else self._take()
        return Done()

    def _next_upkeep(self, now: float) -> Action | None:
        if self._may_commit and now >= self._commit_due:
            everything = not self.in_flight or not self.settings.exclusive_commit
            if everything:
                return self._commit()
        if self._may_take and now >= self._checkpoint_due:
            return self._take()
        if self._taken is not None and self._may_save and now >= self._save_due:
            return self._save(self._taken)
        return None

    @property
    def _may_commit(self) -> bool:
        possible = self._committing is None and self._restorable
        return possible and self.committable > self._committed

    @property
    def _changed(self) -> bool:
        return self._stateful and self._saved < self.position

    @property
    def _may_take(self) -> bool:
        return self._taken is None and (self._changed or not self._restorable)

    @property
    def _may_save(self) -> bool:
        return self._taken is not None and self._taken <= self._committed and not self._saving

    def _must_hold(self, now: float) -> bool:
        """With transactions: no new batch while a commit is due or under way."""
        uncommitted = bool(self._flights) or self.committable > self._committed
        pending = uncommitted and self._restorable and now >= self._commit_due
        return self._committing is not None or pending

    def _commit(self) -> Commit:
        self._committing = self.committable
        self._uncommitted_bytes = 0
        return Commit(self.committable)

    def _take(self) -> TakeSnapshot:
        self._taken = self.position
        return TakeSnapshot(self.position)

    def _save(self, offset: int) -> SaveSnapshot:
        self._saving = True
        return SaveSnapshot(offset)

    @property
    def _batch_size(self) -> int:
        return min(self.settings.batch.size, self.most_rows)

    def _ready_at(self) -> float:
        if len(self._queue) >= self._batch_size:
            return float("-inf")
        return self._arrivals[0][0] + self.settings.batch.timeout_s

    def _close_batch(self) -> RunBatch:
        size = min(len(self._queue), self._batch_size)
        replay = self.phase is Phase.REPLAY
        if replay:
            size = sum(r.offset < self._replay_end for r in islice(self._queue, size))
        records = [self._queue.popleft() for _ in range(size)]
        end = records[-1].offset + 1
        while self._arrivals and self._arrivals[0][1] <= end:
            self._arrivals.popleft()
        self._running = end
        return RunBatch(records, end, replay)

    def _earliest(self, ready_at: float | None) -> float | None:
        times = [] if ready_at is None else [ready_at]
        live = self.phase is Phase.LIVE  # a replay neither commits nor saves
        if live and self._may_commit:
            times.append(self._commit_due)
        if live and self._may_take:
            times.append(self._checkpoint_due)
        if live and self._may_save:
            times.append(self._save_due)
        return min(times, default=None)
