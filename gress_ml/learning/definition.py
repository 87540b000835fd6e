"""From a definition, as YAML has it, to a river estimator.

::

    linear_model.LogisticRegression                        a class, all as river has it
    linear_model.LinearRegression: {l2: 0.1}               a class with its parameters
    compose.Select: [amount, orders]                       a class with its arguments in order
    [preprocessing.StandardScaler, tree.HoeffdingTreeClassifier]      a pipeline (at the top)

A parameter's value may itself be a class, in the first two forms: an optimizer, a loss, another
estimator. Only classes of river are known. A ``seed`` that is not given is 0: the same rows make
the same learner.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from river import base, compose, optim

from gress_ml.errors import SchemaError
from gress_ml.learning.names import is_class_name, known_classes, nearest

#: Annotations of river that are checked: what may stand there, in the words of a YAML file.
_PLAIN: Mapping[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a text"),
    "None": ((type(None),), "null"),
}


def build_estimator(definition: Any, learning_rate: Any = None, path: str = "learner") -> Any:
    """The classifier, regressor or pipeline that is defined.

    ``learning_rate``, a number or a scheduler, is that of every estimator whose optimizer is not
    given. Raises SchemaError with one line per fault, each beginning with its path.
    """
    builder = Builder()
    if learning_rate is not None:
        builder.learning_rate = builder.rate(learning_rate)
    if isinstance(definition, list):
        parts = [builder.build(part, f"{path}[{i}]") for i, part in enumerate(definition)]
        estimator = None if builder.faults or not parts else compose.Pipeline(*parts)
    else:
        estimator = builder.build(definition, path)
    if not builder.faults and not isinstance(last_of(estimator), base.Classifier | base.Regressor):
        found = type(last_of(estimator)).__name__ if estimator is not None else "nothing"
        builder.faults.append(
            f"{path}: expected a classifier or a regressor of river at the end, found {found}"
        )
    if not builder.faults and learning_rate is not None and not builder.rated:
        builder.faults.append(f"learning_rate: {path} has no estimator with an optimizer to set it")
    if builder.faults:
        raise SchemaError("\n".join(builder.faults))
    return estimator


def last_of(estimator: Any) -> Any:
    """The estimator at the end of pipelines."""
    while isinstance(estimator, compose.Pipeline):
        estimator = [*estimator.steps.values()][-1]
    return estimator


def takes_learning_rate(definition: Any) -> bool:
    """Whether a definition names an estimator whose optimizer is left to us."""
    return any(
        "optimizer" in _parameters(known_classes()[name])
        and not (isinstance(given, Mapping) and "optimizer" in given)
        for name, given in _named(definition)
        if name in known_classes()
    )


def _named(definition: Any) -> Iterator[tuple[str, Any]]:
    """Each class name in a definition, with what is given for it."""
    if isinstance(definition, str):
        if is_class_name(definition):
            yield definition, None
    elif isinstance(definition, Mapping):
        for key, value in definition.items():
            if is_class_name(str(key)):
                yield str(key), value
            yield from _named(value)
    elif isinstance(definition, Sequence):
        for part in definition:
            yield from _named(part)


class Builder:
    """Builds from the inside out; a part with a fault is None, and the fault is noted."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.learning_rate: Any = None
        self.rated = 0  # optimizers that got the learning rate

    def rate(self, given: Any) -> Any:
        """A number or a scheduler."""
        rate = self.value(given, "learning_rate")
        number = isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0
        if rate is not None and not number and not isinstance(rate, optim.base.Scheduler):
            self.faults.append(
                "learning_rate: expected a number above 0 or a schedule, such as "
                f"optim.schedulers.InverseScaling; found {given!r}"
            )
        return rate

    def build(self, definition: Any, path: str) -> Any:
        """An object of river."""
        if isinstance(definition, str):
            return self._made(definition, None, path, path)
        if isinstance(definition, Mapping) and len(definition) == 1:
            ((name, given),) = definition.items()
            return self._made(str(name), given, path, f"{path}.{name}")
        self.faults.append(f"{path}: expected a class of river, such as {_EXAMPLE}")
        return None

    def value(self, given: Any, path: str) -> Any:
        """The value of a parameter: a class of river in it becomes an object."""
        if isinstance(given, str) and is_class_name(given):
            return self.build(given, path)
        if isinstance(given, Mapping):
            if len(given) == 1 and is_class_name(str(next(iter(given)))):
                return self.build(given, path)
            return {key: self.value(one, f"{path}.{key}") for key, one in given.items()}
        if isinstance(given, list):
            return [self.value(one, f"{path}[{i}]") for i, one in enumerate(given)]
        return given

    def _made(self, name: str, given: Any, path: str, inner: str) -> Any:
        kind = known_classes().get(name)
        if kind is None:
            hint = nearest(name, [*known_classes()])
            self.faults.append(f"{path}: river has no class {name!r}{hint}")
            return None
        before = len(self.faults)
        arguments, named = self._arguments(kind, given, inner)
        if len(self.faults) > before:
            return None
        try:
            return kind(*arguments, **named)
        except Exception as error:  # noqa: BLE001, RUF100 - whatever river says to a bad parameter
            self.faults.append(f"{path}: {name} refuses its parameters: {error}")
            return None

    def _arguments(self, kind: type, given: Any, path: str) -> tuple[list[Any], dict[str, Any]]:
        parameters = _parameters(kind)
        if isinstance(given, list):
            return self.value(given, path), self._defaults(parameters, {})
        if given is not None and not isinstance(given, Mapping):
            self.faults.append(f"{path}: expected parameters by name, or a list; found {given!r}")
            return [], {}
        named = {}
        for key, one in (given or {}).items():
            parameter = parameters.get(key)
            if parameter is None:
                hint = nearest(str(key), [*parameters]) or f"; known: {', '.join(parameters)}"
                self.faults.append(f"{path}.{key}: unknown parameter {key!r}{hint}")
                self.value(one, f"{path}.{key}")  # for the faults in it
                continue
            named[key] = self.value(one, f"{path}.{key}")
            self._check(parameter, named[key], f"{path}.{key}")
        named = self._defaults(parameters, named)
        missing = [
            key for key, one in parameters.items() if one.default is one.empty and key not in named
        ]
        if missing:
            self.faults.append(f"{path}: missing parameter {', '.join(map(repr, missing))}")
        return [], named

    def _defaults(
        self, parameters: Mapping[str, inspect.Parameter], named: dict[str, Any]
    ) -> dict[str, Any]:
        if "seed" in parameters:
            named.setdefault("seed", 0)
        if "optimizer" in parameters and "optimizer" not in named and self.learning_rate:
            named["optimizer"] = optim.SGD(self.learning_rate)
            self.rated += 1
        return named

    def _check(self, parameter: inspect.Parameter, value: Any, path: str) -> None:
        """A value of a plain type must have it; where river says more, river itself decides."""
        allowed = [part.strip() for part in str(parameter.annotation).split("|")]
        if parameter.annotation is parameter.empty:
            allowed = [_BY_DEFAULT.get(type(parameter.default), "")]
        if not all(part in _PLAIN for part in allowed):
            return
        types = tuple(one for part in allowed for one in _PLAIN[part][0])
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wanted = " or ".join(_PLAIN[part][1] for part in allowed)
            self.faults.append(f"{path}: expected {wanted}, found {value!r}")


#: Without an annotation the default tells what may stand there.
_BY_DEFAULT: Mapping[type, str] = {bool: "bool", int: "float", float: "float"}
_EXAMPLE = "linear_model.LogisticRegression, alone or with its parameters below it"


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """The parameters of a class that are given by name."""
    return {
        name: parameter
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
