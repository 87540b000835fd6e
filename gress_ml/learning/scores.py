"""Scores: test-then-train evaluation by river's metrics: total, over the last rows, held out.

Each row is told before it is learned (prequential evaluation: Gama, Sebastião and Rodrigues,
"On evaluating stream learning algorithms", Machine Learning 90, 2013).
"""

from __future__ import annotations

import inspect
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from river import metrics

from gress_ml.errors import SchemaError, SnapshotError
from gress_ml.learning.definition import Builder
from gress_ml.learning.names import known_classes
from gress_ml.learning.task import Answer, Classification, Task, gives_probabilities

Seen = tuple[Any, Any, Answer]  # label, guess, answer

#: Put before the name of a metric.
ROLLING, HOLDOUT = "rolling_", "holdout_"


class Scores:
    """The same metrics three times: over all rows told before they were learned, over the last
    ``window`` of these, and over the rows held out."""

    def __init__(self, definitions: Sequence[Any], task: Task, estimator: Any, window: int) -> None:
        self._window = window
        self._last: deque[Seen] = deque()
        self.total = _Board(definitions, task, estimator)
        self.rolling = _Board(definitions, task, estimator)
        self.holdout = _Board(definitions, task, estimator)
        #: Rows held out so far.
        self.held = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics, as river has them."""
        return tuple(self.total.metrics)

    def tested(self, seen: Sequence[Seen]) -> None:
        """Rows that were told and are learned next."""
        self.total.add(seen)
        if self._window:
            self._roll(seen)

    def held_out(self, seen: Sequence[Seen]) -> None:
        """Rows that were told and are not learned."""
        self.holdout.add(seen)
        self.held += len(seen)

    def values(self) -> dict[str, float]:
        """Name and present value of every metric; those without a value are left out."""
        found = self.total.values("")
        if self._last:
            found |= self.rolling.values(ROLLING)
        if self.held:
            found |= self.holdout.values(HOLDOUT)
        return found

    def bigger_is_better(self, name: str) -> bool:
        """Whether a higher value of a metric is the better one."""
        return bool(self.total.metrics[name].bigger_is_better)

    def state(self) -> dict[str, Any]:
        """For the snapshot: river's objects."""
        return {
            "names": [*self.names],
            "boards": [board.state() for board in self._boards],
            "last": self._last,
            "held": self.held,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; with other metrics than before they begin anew."""
        if state["names"] != [*self.names]:
            return
        for board, saved in zip(self._boards, state["boards"], strict=True):
            board.load(saved)
        last, held = state["last"], state["held"]
        if type(last) is not deque or type(held) is not int:
            raise SnapshotError("not the scores of a learner")
        self._last, self.held = last, held

    @property
    def _boards(self) -> tuple[_Board, ...]:
        return self.total, self.rolling, self.holdout

    def _roll(self, seen: Sequence[Seen]) -> None:
        """As river's own Rolling: the oldest row goes before the newest comes.

        Metrics that add fractions depend on that order in their last digits.
        """
        self.rolling.count(seen, 1)
        if not self.rolling.needs_rows:
            self._last.extend([(row[0], row[1], None) for row in seen])
            surplus = len(self._last) - self._window
            self.rolling.count([self._last.popleft() for _ in range(surplus)], -1)
            return
        gone = []
        for row in seen:
            if len(self._last) == self._window:
                gone.append(self._last.popleft())
                self.rolling.take_back(gone[-1])
            self.rolling.feed(row)
            self._last.append(row if self.rolling.needs_answers else (row[0], row[1], None))
        self.rolling.count(gone, -1)


class _Board:
    """Metrics over one set of rows.

    Those that need no more than how often which class was taken for which share one confusion
    matrix, which is fed per batch; the others are fed row by row.
    """

    def __init__(self, definitions: Sequence[Any], task: Task, estimator: Any) -> None:
        self._matrix: Any = metrics.ConfusionMatrix()  # type: ignore[no-untyped-call]
        self.metrics: dict[str, Any] = {}
        builder = Builder()
        for i, definition in enumerate(definitions):
            path = f"metrics[{i}]"
            metric = builder.build(_full(definition), path)
            if metric is not None and (fault := _fault(metric, task, estimator)):
                builder.faults.append(f"{path}: {fault}")
            elif metric is not None:
                self._put(metric, path, builder)
        if builder.faults:
            raise SchemaError("\n".join(builder.faults))
        self._counted = any(map(_counts, self.metrics.values()))
        self._sort()

    def add(self, seen: Sequence[Seen]) -> None:
        """These rows count."""
        self.count(seen, 1)
        for row in seen if self._each else ():
            self.feed(row)

    def count(self, seen: Sequence[Seen], sign: int) -> None:
        """Count rows, or with -1 no longer, for the metrics that only count."""
        if not self._counted:
            return
        for (label, guess), count in Counter([(row[0], row[1]) for row in seen]).items():
            self._matrix.update(label, guess, w=sign * count)
            self._matrix.n_samples += sign * count - 1

    def feed(self, row: Seen) -> None:
        """One more row for the metrics that are fed row by row."""
        label, guess, answer = row
        for metric, of_guess in self._each:
            metric.update(label, guess if of_guess else answer)

    def take_back(self, row: Seen) -> None:
        """One of the rows that they were fed."""
        label, guess, answer = row
        for metric, of_guess in self._each:
            metric.revert(label, guess if of_guess else answer)

    @property
    def needs_rows(self) -> bool:
        """Whether some metric is fed row by row."""
        return bool(self._each)

    @property
    def needs_answers(self) -> bool:
        """Whether some metric needs more than the guess."""
        return not all(of_guess for _, of_guess in self._each)

    def values(self, prefix: str) -> dict[str, float]:
        """Present values."""
        found = {prefix + name: float(metric.get()) for name, metric in self.metrics.items()}
        return {name: value for name, value in found.items() if isfinite(value)}

    def state(self) -> list[Any]:
        return [self._matrix, self.metrics]

    def load(self, state: Sequence[Any]) -> None:
        matrix, saved = state
        same = type(matrix) is metrics.ConfusionMatrix and [*saved] == [*self.metrics]
        if not same or any(type(saved[name]) is not type(self.metrics[name]) for name in saved):
            raise SnapshotError("not the scores of a learner")
        self._matrix, self.metrics = matrix, saved
        self._sort()

    def _put(self, metric: Any, path: str, builder: Builder) -> None:
        name = type(metric).__name__
        if name in self.metrics:
            builder.faults.append(f"{path}: {name} is there twice")
        self.metrics[name] = self._sharing(metric) if _counts(metric) else metric

    def _sharing(self, metric: Any) -> Any:
        """The same metric on the shared matrix: those made of others hand it on to them."""
        parameters = {**metric._get_params(), "cm": self._matrix}
        return type(metric)(**parameters)

    def _sort(self) -> None:
        self._each = [
            (metric, getattr(metric, "requires_labels", True))
            for metric in self.metrics.values()
            if not _counts(metric)
        ]


_PLAIN_UPDATES = (metrics.base.ClassificationMetric.update, metrics.base.BinaryMetric.update)


def _counts(metric: Any) -> bool:
    """Whether a metric is a function of the confusion matrix of the labels as they are."""
    plain = getattr(type(metric), "update", None) in _PLAIN_UPDATES
    takes = "cm" in inspect.signature(type(metric)).parameters
    positive = getattr(metric, "pos_val", True) is True
    return plain and takes and bool(metric.requires_labels) and positive


def _fault(metric: Any, task: Task, estimator: Any) -> str | None:
    """Why a metric cannot be had for this task; None when it can."""
    name = type(metric).__name__
    if isinstance(task, Classification):
        if not isinstance(metric, metrics.base.ClassificationMetric):
            return f"{name} is not a metric for classes"
        binary = isinstance(metric, metrics.base.BinaryMetric) or name in _OF_TWO
        if binary and len(task.classes) != 2:
            return f"{name} is for two classes, found {len(task.classes)}"
        if not metric.requires_labels and not gives_probabilities(estimator):
            return f"{name} needs probabilities, which this learner does not tell"
        return None
    if not isinstance(metric, metrics.base.RegressionMetric):
        return f"{name} is not a metric for values"
    return None


_OF_TWO = frozenset({"ROCAUC", "RollingROCAUC", "RollingPRAUC"})


def _full(definition: Any) -> Any:
    """``Accuracy`` as ``metrics.Accuracy``."""
    if isinstance(definition, str):
        return definition if "." in definition else f"metrics.{definition}"
    if isinstance(definition, Mapping):
        return {_full(str(name)): given for name, given in definition.items()}
    return definition


def default_metrics(task: Task, estimator: Any) -> list[str]:
    """The metrics of a learner that names none."""
    if not isinstance(task, Classification):
        return ["MAE", "RMSE"]
    loss = ["LogLoss"] if len(task.classes) == 2 else ["CrossEntropy"]
    return ["Accuracy", *(loss if gives_probabilities(estimator) else ())]


def known_metrics() -> list[str]:
    """River's metrics, as a configuration names them."""
    prefix = "metrics."
    return [name.removeprefix(prefix) for name in known_classes() if name.startswith(prefix)]
