"""Task: what a learner is asked for, a class or a value, and what its answers look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import gt
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from river import base

from gress_ml.errors import SchemaError
from gress_ml.learning.definition import last_of

Float32 = npt.NDArray[np.float32]
Answer = Any  # a dictionary of probabilities by label, or a number


class Task(Protocol):
    """How answers of an estimator are read. Answers of rows that it knows nothing of are empty."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty for values."""
        ...

    def asker(self, estimator: Any) -> Callable[[Any], Answer]:
        """What to call for the answer to a row's features."""
        ...

    def sound(self, answers: Sequence[Answer]) -> bool:
        """Whether all these answers are finite."""
        ...

    def guesses(self, answers: Sequence[Answer]) -> list[Any]:
        """The label that each answer amounts to."""
        ...

    def matrix(self, answers: Sequence[Answer]) -> Float32:
        """Float32 of shape (n, classes), or (n, 1) for values; NaN where nothing is known."""
        ...


@dataclass(frozen=True, slots=True)
class Classification:
    """Two classes are ``False`` and ``True`` to river, which many of its parts ask for."""

    classes: tuple[str, ...]

    @property
    def labels(self) -> tuple[Any, ...]:
        """What river is told for each class."""
        return (False, True) if len(self.classes) == 2 else self.classes

    def asker(self, estimator: Any) -> Callable[[Any], Answer]:
        if gives_probabilities(estimator):
            ask: Callable[[Any], Answer] = estimator.predict_proba_one
            return ask
        return _Guess(estimator.predict_one)

    def sound(self, answers: Sequence[Answer]) -> bool:
        if len(self.classes) == 2:
            return isfinite(sum(_shares(answers, True)))
        return all(isfinite(sum(answer.values())) for answer in answers)

    def guesses(self, answers: Sequence[Answer]) -> list[Any]:
        if len(self.classes) == 2:  # at a tie the first class, as NumPy's argmax has it
            return [*map(gt, _shares(answers, True), _shares(answers, False))]
        labels = self.labels
        return [max(labels, key=lambda label: answer.get(label, 0.0)) for answer in answers]

    def matrix(self, answers: Sequence[Answer]) -> Float32:
        made = np.empty((len(answers), len(self.classes)), np.float32)
        for column, label in enumerate(self.labels):
            made[:, column] = _shares(answers, label)
        if not all(answers):
            made[[not answer for answer in answers]] = np.nan
        return made


@dataclass(frozen=True, slots=True)
class Regression:
    """A number per row."""

    classes: tuple[str, ...] = ()

    def asker(self, estimator: Any) -> Callable[[Any], Answer]:
        ask: Callable[[Any], Answer] = estimator.predict_one
        return ask

    def sound(self, answers: Sequence[Answer]) -> bool:
        return all(map(isfinite, answers))

    def guesses(self, answers: Sequence[Answer]) -> list[Any]:
        return [*answers]

    def matrix(self, answers: Sequence[Answer]) -> Float32:
        with np.errstate(over="ignore"):  # what is too large for a float becomes infinite
            return np.array(answers, np.float64).astype(np.float32).reshape(len(answers), 1)


def _shares(answers: Sequence[Answer], label: Any) -> list[float]:
    """The probability of one label in each answer; 0 where an answer does not name it."""
    try:
        return [answer[label] for answer in answers]  # as nearly all are: half the time
    except KeyError:
        return [answer.get(label, 0.0) for answer in answers]


@dataclass(frozen=True, slots=True)
class _Guess:
    """The class alone, of an estimator that knows no probabilities."""

    predict: Callable[[Any], Any]

    def __call__(self, features: Any) -> Answer:
        guess = self.predict(features)
        return {} if guess is None else {guess: 1.0}


def gives_probabilities(estimator: Any) -> bool:
    """Whether a classifier tells probabilities, and not the class alone."""
    last = last_of(estimator)
    while isinstance(last, base.Wrapper):
        last = last_of(last._wrapped_model)
    return type(last).predict_proba_one is not base.Classifier.predict_proba_one


def task_of(estimator: Any, classes: Sequence[str]) -> Classification | Regression:
    """The task of an estimator. Raises SchemaError when the classes do not fit it."""
    last = last_of(estimator)
    name = type(last).__name__
    if isinstance(last, base.Regressor):
        if classes:
            raise SchemaError(f"classes: {name} learns values, which have no classes")
        return Regression()
    if len({*classes}) < max(len(classes), 2):
        raise SchemaError(
            f"classes: {name} needs the names of two classes or more, each once, in the order of "
            f"the probabilities; found {[*classes]}"
        )
    if len(classes) > 2 and not last._multiclass:
        raise SchemaError(
            f"classes: {name} tells two classes apart, found {len(classes)}; put it into "
            "multiclass.OneVsRestClassifier"
        )
    return Classification(tuple(classes))
