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
#: Rows between two looks at the learner's size, at least. More where it is large: to measure it is
#: to save it, which then costs a share of the learning that does not grow.
_LOOK_EVERY, _BYTES_PER_ROW = 1000, 64

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
        ask, sound, batch_size = self._ask, self._task.sound, self._pace.batch_size
        answers, uses, waiting = told.answers, told.uses, self._waiting
        scores = bool(self.scores.names)
        columns = (rows.features, rows.labels, rows.held_out, rows.times_ms, rows.offsets)
        for features, label, held, time_ms, offset in zip(*columns, strict=True):
            if time_ms >= self._deadline:
                self._update(offset, told)
                ask = self._ask
            try:
                answer = ask(features)
                if not sound(answer):
                    told.fault("bad_prediction", "the learner told NaN or infinity")
                    continue
            except Exception as error:  # whatever river raises is about this row
                told.fault("learner_failed", f"{type(error).__name__}: {error}")
                continue
            answers.append(answer)
            if label is None:
                uses.append(PREDICTED)
                continue
            if scores and (answer or answer == 0):  # an empty one knows nothing yet
                unscored = self._unscored[held]
                unscored[0].append(label)
                unscored[1].append(answer)
            if held or self.frozen:
                uses.append(HOLDOUT if held else PREDICTED)
                continue
            uses.append(TRAINED)
            if not waiting:
                self._deadline = time_ms + self._pace.interval_ms
            waiting.append((features, label))
            if len(waiting) >= batch_size:
                self._update(offset + 1, told)
                ask = self._ask
        self._score()
        return told

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
                told.failures.append(f"{type(error).__name__}: {error}")
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
        self.size = len(save(self._estimator))
        self._look_at = self.learned + max(_LOOK_EVERY, self.size // _BYTES_PER_ROW)
        if self.size <= self._pace.size_limit:
            return
        if self._pace.at_limit is AtLimit.FREEZE:
            self.frozen = True
        else:
            self._hold(self._build())

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
