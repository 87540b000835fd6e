"""Learner: a river estimator that is asked about each row, then learns it. A function of the log.

Rows are learned in mini-batches: ``update_batch_size`` of them, or those that came within
``update_interval`` of event time, whichever is less. Both are counted in the log, so how the stream
is cut into batches, when it is read again or by whom changes nothing. Within a mini-batch river
learns row by row, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from math import inf
from typing import Any

from river.__version__ import __version__ as river_version

from gress_ml.errors import SnapshotError
from gress_ml.learning.gate import Gate
from gress_ml.learning.scores import Scores
from gress_ml.learning.seal import sealed, unsealed
from gress_ml.learning.structure import load, save
from gress_ml.learning.task import Answer, Task

#: River is before its 1.0: what its objects hold may change with the second number.
RIVER = ".".join(river_version.split(".")[:2])
#: Rows between two looks at the learner's size, at least, and at most while it is small. More where
#: it is large: to measure it is to save it, which then costs a share of the learning that does not
#: grow.
_LOOK_EVERY, _LOOK_WITHIN, _BYTES_PER_ROW = 1000, 10_000, 64

Fault = tuple[int, str, str]  # row, code, message

#: What a row was used for.
TRAINED, HOLDOUT, PREDICTED = "trained", "holdout", "predicted"


_Unscored = tuple[list[Any], list[Answer]]


class AtLimit(StrEnum):
    """What a learner does when it has become too large: stop learning, or begin anew."""

    FREEZE = "freeze"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Pace:
    """When waiting rows are learned, and how large a learner may become."""

    batch_size: int = 32
    interval_ms: float = 5000.0
    size_limit: int = 16 << 20  # bytes, as saved
    at_limit: AtLimit = AtLimit.FREEZE


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to be told and learned; a label of None is none."""

    features: Iterable[Mapping[str, Any]]
    labels: Sequence[Any]
    held_out: Sequence[bool]
    times_ms: Sequence[int]
    offsets: Sequence[int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A learner that passed its gate: all before ``offset`` that was to be learned is in it."""

    offset: int
    estimator: bytes
    scores: Mapping[str, float]
    learned: int


@dataclass(slots=True)
class Told:
    """What came of some rows. A row with a fault has neither an answer nor a use."""

    answers: list[Answer] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    updates: int = 0
    failures: list[str] = field(default_factory=list)  # rows that river failed to learn

    def fault(self, code: str, message: str) -> None:
        """The next row has one."""
        self.faults.append((len(self.answers) + len(self.faults), code, message))


class Learner:
    """``build`` makes the estimator anew; ``identity`` is what it is made of, as text."""

    def __init__(
        self,
        build: Callable[[], Any],
        identity: str,
        task: Task,
        scores: Scores,
        pace: Pace,
        gate: Gate | None = None,
    ) -> None:
        self._build = build
        self._identity = identity
        self._task = task
        self.scores = scores
        self._pace = pace
        self._gate = gate
        self._hold(build())
        self._waiting: list[tuple[Mapping[str, Any], Any]] = []
        self._deadline: float = inf  # event time at which the waiting rows are learned
        #: Labels and answers that are not scored yet: of rows learned, of rows held out.
        self._unscored: tuple[_Unscored, _Unscored] = (([], []), ([], []))
        self.learned = 0
        self.size = 0  # bytes when last looked at
        self._look_at = _LOOK_EVERY
        self._next_candidate = 0 if gate is None else gate.every
        self.frozen = False

    def run(self, rows: Rows) -> Told:
        """Tell every row, then learn it with its mini-batch."""
        told = Told()
        features = iter(rows.features)
        plain = self._plain(rows)
        begin, count = 0, len(rows.labels)
        while begin < count:
            if rows.times_ms[begin] >= self._deadline:
                self._update(rows.offsets[begin], told)
            end = self._turn(rows, begin, plain)
            self._tell(rows, islice(features, end - begin), begin, told, plain)
            if len(self._waiting) >= self._pace.batch_size:
                self._update(rows.offsets[end - 1] + 1, told)
            begin = end
        self._score()
        return told

    def _plain(self, rows: Rows) -> bool:
        """Whether all rows are to be learned, and no mini-batch ends by its time: as nearly always.

        Asked of all rows at once, so that they need not be looked at one by one.
        """
        if None in rows.labels or True in rows.held_out:
            return False
        first_end = min(self._deadline, min(rows.times_ms, default=inf) + self._pace.interval_ms)
        return max(rows.times_ms, default=-inf) < first_end

    def _turn(self, rows: Rows, begin: int, plain: bool) -> int:
        """Where the rows end that the learner is asked about before it learns."""
        count, room = len(rows.labels), self._pace.batch_size - len(self._waiting)
        if plain:
            return min(begin + room, count)
        earliest = self._deadline
        for place in range(begin, count):
            time_ms = rows.times_ms[place]
            if time_ms >= earliest:
                return place
            if rows.labels[place] is not None and not rows.held_out[place]:
                if not self._waiting:  # the first that is learned sets it, whichever that will be
                    earliest = min(earliest, time_ms + self._pace.interval_ms)
                room -= 1
                if not room:
                    return place + 1
        return count

    def _tell(
        self,
        rows: Rows,
        features: Iterable[Mapping[str, Any]],
        begin: int,
        told: Told,
        plain: bool,
    ) -> None:
        """Ask about rows from ``begin`` on, and put those to be learned among the waiting."""
        given = [*features]
        answers, failed = self._asked(given)
        span = slice(begin, begin + len(given))
        if not plain or failed or self.frozen or not self._whole(answers):
            self._take_each(rows, given, answers, failed, begin, told)
            return
        told.answers += answers
        told.uses += [TRAINED] * len(given)
        if self.scores.names:
            unscored = self._unscored[False]
            unscored[0].extend(rows.labels[span])
            unscored[1].extend(answers)
        if not self._waiting:
            self._deadline = rows.times_ms[begin] + self._pace.interval_ms
        self._waiting.extend(zip(given, rows.labels[span], strict=True))

    def _asked(self, given: Sequence[Mapping[str, Any]]) -> tuple[list[Answer], dict[int, str]]:
        """The answers, and the places of those that failed, with the reason."""
        answers: list[Answer] = []
        failed: dict[int, str] = {}
        asking = map(self._ask, given)
        while True:
            try:
                answers.extend(asking)
            except Exception as error:  # whatever river raises is about this row; others follow
                failed[len(answers)] = _told(error)
                answers.append(None)
            else:
                return answers, failed

    def _take_each(
        self,
        rows: Rows,
        given: Sequence[Mapping[str, Any]],
        answers: Sequence[Answer],
        failed: Mapping[int, str],
        begin: int,
        told: Told,
    ) -> None:
        """As for all rows at once, where they are not alike."""
        for place, (features, answer) in enumerate(zip(given, answers, strict=True)):
            if place in failed:
                told.fault("learner_failed", failed[place])
                continue
            if fault := self._fault(answer):
                told.fault(*fault)
                continue
            row = begin + place
            told.answers.append(answer)
            told.uses.append(self._use(rows, row))
            label = rows.labels[row]
            if label is not None and self.scores.names and (answer or answer == 0):
                unscored = self._unscored[rows.held_out[row]]  # an empty one knows nothing yet
                unscored[0].append(label)
                unscored[1].append(answer)
            if told.uses[-1] is TRAINED:
                if not self._waiting:
                    self._deadline = rows.times_ms[row] + self._pace.interval_ms
                self._waiting.append((features, label))

    def _whole(self, answers: Sequence[Answer]) -> bool:
        """Whether all are answers, and none is empty, which knows nothing yet."""
        try:
            return self._task.sound(answers) and all(answers)
        except Exception:
            return False

    def _fault(self, answer: Answer) -> tuple[str, str] | None:
        try:
            if self._task.sound([answer]):
                return None
        except Exception as error:  # it is none
            return "learner_failed", _told(error)
        return "bad_prediction", "the learner told NaN or infinity"

    def _use(self, rows: Rows, row: int) -> str:
        if rows.labels[row] is None:
            return PREDICTED
        if rows.held_out[row]:
            return HOLDOUT
        return PREDICTED if self.frozen else TRAINED

    # --- learning ---------------------------------------------------------------------------------

    def _hold(self, estimator: Any) -> None:
        self._estimator = estimator
        self._ask = self._task.asker(estimator)

    def _update(self, end: int, told: Told) -> None:
        """Learn the waiting rows; ``end`` is the offset before which all is told."""
        learn = self._estimator.learn_one
        for features, label in self._waiting:
            try:
                learn(features, label)
            except Exception as error:
                told.failures.append(_told(error))
        self.learned += len(self._waiting)
        told.updates += 1
        self._waiting.clear()
        self._deadline = inf
        if self.learned >= self._look_at:
            self._look()
        if self._gate is not None and self.learned >= self._next_candidate:
            self._offer(self._gate, end, told)

    def _look(self) -> None:
        """Measure the learner, and hold it to its limit."""
        before, self.size = self.size, len(save(self._estimator))
        self._look_at = self.learned + self._rows_to_next_look(self.size - before)
        if self.size <= self._pace.size_limit:
            return
        if self._pace.at_limit is AtLimit.FREEZE:
            self.frozen = True
        else:
            self._hold(self._build())

    def _rows_to_next_look(self, grown: int) -> int:
        """Rows that use half of the room to the limit, if it grows as it did since the last look.

        That growth counts as that of ``_LOOK_EVERY`` rows, the fewest there can have been.
        """
        room = self._pace.size_limit - self.size
        half = room // 2 * _LOOK_EVERY // max(grown, 1)
        return max(min(half, _LOOK_WITHIN), _LOOK_EVERY, self.size // _BYTES_PER_ROW)

    def _offer(self, gate: Gate, end: int, told: Told) -> None:
        while self._next_candidate <= self.learned:
            self._next_candidate += gate.every
        self._score()
        if gate.opens(self.learned, self.scores):
            scores = self.scores.values()
            told.candidates.append(Candidate(end, save(self._estimator), scores, self.learned))

    def _score(self) -> None:
        takes = (self.scores.tested, self.scores.held_out)
        for (labels, answers), take in zip(self._unscored, takes, strict=True):
            if labels:
                take([*zip(labels, self._task.guesses(answers), answers, strict=True)])
                labels.clear()
                answers.clear()

    # --- state ------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state; the same state gives the same bytes."""
        state = save(
            {
                "identity": self._identity,
                "river": RIVER,
                "estimator": self._estimator,
                "scores": self.scores.state(),
                "waiting": self._waiting,
                "deadline": float(self._deadline),
                "learned": self.learned,
                "size": self.size,
                "look_at": self._look_at,
                "next_candidate": self._next_candidate,
                "frozen": self.frozen,
            }
        )
        return sealed(state)

    def restore(self, data: bytes) -> None:
        """Become what was saved. Raises SnapshotError."""
        state = load(unsealed(data))
        if not isinstance(state, dict) or {name: type(state.get(name)) for name in _KEPT} != _KEPT:
            raise SnapshotError("not the state of a learner")
        if state["identity"] != self._identity:
            raise SnapshotError("the learner was defined in another way: it learns the log anew")
        if state["river"] != RIVER:
            raise SnapshotError(
                f"learned with river {state['river']}, found river {RIVER}: what its objects hold "
                "may differ, so the log is learned anew"
            )
        if type(state["estimator"]) is not type(self._estimator):
            raise SnapshotError("the learner is of another class than its definition")
        self.scores.load(state["scores"])
        self._hold(state["estimator"])
        self._waiting, self._deadline = state["waiting"], state["deadline"]
        self.learned, self.size, self.frozen = state["learned"], state["size"], state["frozen"]
        self._look_at, self._next_candidate = state["look_at"], state["next_candidate"]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


_KEPT = {
    "identity": str,
    "river": str,
    "scores": dict,
    "waiting": list,
    "deadline": float,
    "learned": int,
    "size": int,
    "look_at": int,
    "next_candidate": int,
    "frozen": bool,
}
