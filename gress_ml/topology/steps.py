"""Checks the steps: each operator is really built and opened, and its columns are followed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gress_ml.errors import GressError, ModelError, SchemaError, StoreUnavailable
from gress_ml.operator import Context, Operator, OperatorConfig
from gress_ml.ports import ModelStore
from gress_ml.schema import Columns
from gress_ml.topology.catalogue import Catalogue, OperatorClass
from gress_ml.topology.draft import Draft, Streams
from gress_ml.topology.findings import (
    KeyPath,
    did_you_mean,
    listing,
    nearest,
    nearest_hint,
    path_text,
)
from gress_ml.topology.ml import Entry, ml_defaults, ml_entry, switched_off
from gress_ml.topology.topology import Step
from gress_ml.topology.validation import PLACEHOLDER, Fault, Part, Validated, validate
from gress_ml.topology.wiring import Wiring


@dataclass(frozen=True, slots=True)
class _Site:
    """One step while it is checked."""

    draft: Draft
    index: int
    part: Part  # its config

    @property
    def name(self) -> str:
        return self.draft.spec.steps[self.index].name

    @property
    def operator_path(self) -> KeyPath:
        return ("steps", self.index, "operator")

    def fault(self, error: GressError) -> None:
        """Report what the operator refused, at the key of the config that it is about."""
        message = str(error)
        if isinstance(error, SchemaError) and any(
            _mention(c, message) for c in self.draft.doubtful
        ):
            return
        if self._placed(message.splitlines()):
            return
        self._add(self._about(message, isinstance(error, ModelError)), message)

    def _placed(self, lines: Sequence[str]) -> bool:
        """Report lines that each begin with a path of the config; False when one does not."""
        known = {path_text(path): path for path in _paths(self.part.value)}
        found = [line.partition(": ") for line in lines]
        if not all(path in known for path, _, _ in found):
            return False
        for path, _, rest in found:
            self._add(known[path], rest)
        return True

    def missing(self, missing: Iterable[str], columns: Columns, source: str) -> None:
        """Report columns that the operator reads and its input does not have.

        One that the config names has its own place; the others are one finding at the operator.
        """
        leaves = [*_leaves(self.part.value)]
        by_place: dict[KeyPath | None, list[str]] = {}
        for column in sorted(missing):
            named = next((path for path, value in leaves if value == column), None)
            by_place.setdefault(named, []).append(column)
        for path, names in by_place.items():
            word = "column" if len(names) == 1 else "columns"
            message = (
                f"missing {word} {', '.join(map(repr, names))}: step {self.name!r} reads "
                f"{'it' if len(names) == 1 else 'them'}, {source!r} has only: {listing(columns)}"
            )
            hint = nearest_hint(names[0], columns) if len(names) == 1 else ""
            self._add(path, message, hint)

    def columns_hold(self, faults: Iterable[Fault]) -> bool:
        """Whether columns can be followed in spite of faults: a number never names a column."""
        values = (self.part.document.get(self.part.origin(fault.path)) for fault in faults)
        return all(isinstance(value, int | float) for value in values)

    def _about(self, message: str, of_model: bool) -> KeyPath | None:
        """The config key whose value the message mentions first; a model's key goes before."""
        mentions = [
            (match.start(), path)
            for path, value in _leaves(self.part.value)
            if isinstance(value, str) and (match := _mention(value, message))
        ]
        if of_model:
            keys = [path for path, _ in _leaves(self.part.value) if _is_model_key(path)]
            mentioned = [path for _, path in sorted(mentions) if path in keys]
            return next(iter(mentioned or keys), None)
        return min(mentions)[1] if mentions else None

    def _add(self, path: KeyPath | None, message: str, hint: str = "") -> None:
        at = self.operator_path if path is None else self.part.origin(path)
        self.draft.at_value(at, message, hint)


def _is_model_key(path: KeyPath) -> bool:
    return str(path[-1]).startswith("model") or str(path[0]).startswith("model")


def _mention(value: str, message: str) -> re.Match[str] | None:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", message) if value else None


def _paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of each value of a config, of mappings and lists too."""
    if path:
        yield path
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _paths(inner, (*path, i))


def _leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Each scalar of a config with its path; names of columns may be keys too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, (*path, i))
    else:
        yield path, value


class StepChecker:
    """Goes through the steps in order; knows the columns of every stream so far."""

    def __init__(
        self, draft: Draft, catalogue: Catalogue, models: ModelStore | None, streams: Streams
    ) -> None:
        self._draft = draft
        self._catalogue = catalogue
        self._models = models
        self._streams = streams

    def check(self, wiring: Wiring) -> tuple[Step, ...]:
        """The steps that hold, in order; what they give is in the streams."""
        found = [self._step(i, wiring.sources[i]) for i in wiring.order]
        check_entries(self._draft)
        return tuple(step for step in found if step is not None)

    def _step(self, i: int, source: str | None) -> Step | None:
        spec = self._draft.spec.steps[i]
        streams = {} if spec.name in self._streams else self._streams
        self._streams[spec.name] = None  # of a double name nothing is known
        self._check_side(i, source)
        operator_class = self._operator(i)
        if operator_class is None:
            return None
        self._check_enabled(spec.name, operator_class)
        site = _Site(self._draft, i, _config_part(self._draft, i, operator_class))
        made = self._config(site, operator_class)
        if made.value is None:
            return None
        columns = None if source is None else self._streams.get(source)
        if not site.columns_hold(made.faults):
            columns = None
        step = Step(spec.name, operator_class, made.value, source or "", columns=columns or {})
        return replace(step, reads=self._open(site, step, columns, streams))

    def _check_side(self, i: int, source: str | None) -> None:
        path: KeyPath = ("steps", i, "input")
        if source is None:
            return
        check_side(self._draft, path, source, self._streams)
        if source in self._draft.late:
            message = f"{source!r} is made after the answer has left, when no step runs any more"
            self._draft.at_value(path, message, "outputs may read it")

    def _check_enabled(self, name: str, operator: OperatorClass) -> None:
        if switched_off(self._draft.spec.ml, operator.Config):
            message = f"online learning is switched off, so step {name!r} could not run"
            hint = "set it to true, or take the step away"
            self._draft.at_value(("ml", "online_learning", "enabled"), message, hint)

    def _operator(self, i: int) -> OperatorClass | None:
        name = self._draft.spec.steps[i].operator
        found = self._catalogue.operators.get(name)
        if found is None and name != PLACEHOLDER:
            hint = _operator_hint(name, self._catalogue)
            self._draft.at_value(("steps", i, "operator"), f"unknown operator {name!r}", hint)
        return found

    def _config(self, site: _Site, operator: OperatorClass) -> Validated[OperatorConfig]:
        return validate(operator.Config, site.part, self._draft.findings, placeholders=False)

    def _open(
        self, site: _Site, step: Step, columns: Columns | None, streams: Streams
    ) -> frozenset[str]:
        """Build and open the operator; follow its columns where those of its input are known."""
        operator: Operator[Any] | None = None
        try:
            operator = step.operator_class(step.config)
            models = self._models or _Nothing()
            operator.open(Context(models, self._draft.spec.name, step.name, step.columns))
            return self._follow(site, step, operator, columns, streams)
        except _Unopened:
            return frozenset()
        except StoreUnavailable:  # no fault of the file, and it may pass
            raise
        except GressError as error:
            site.fault(error)
        except Exception as error:  # noqa: BLE001, RUF100 - a bug of an operator is a finding
            message = f"operator {step.operator_class.name!r} failed: {type(error).__name__}"
            self._draft.at_value(site.operator_path, f"{message}: {error}")
        finally:
            if operator is not None:
                operator.close()
        return frozenset()

    def _follow(
        self,
        site: _Site,
        step: Step,
        operator: Operator[Any],
        columns: Columns | None,
        streams: Streams,
    ) -> frozenset[str]:
        reads = operator.reads()
        if columns is None:
            return reads
        missing = reads - columns.keys()
        site.missing(missing, columns, step.source)
        if not missing:
            streams[step.name] = operator.signature(columns)
            for side, inside in operator.sides(columns).items():
                streams[f"{step.name}.{side}"] = inside
                if side in operator.late_sides:
                    self._draft.late.add(f"{step.name}.{side}")
        return reads


def check_side(draft: Draft, path: KeyPath, source: str, streams: Streams) -> None:
    """Report ``step.side`` when the step is known and has no such side stream."""
    step, _, side = source.partition(".")
    if side and source not in streams and streams.get(step) is not None:
        sides = [name.partition(".")[2] for name in streams if name.startswith(f"{step}.")]
        message = f"step {step!r} has no side stream {side!r}"
        draft.at_value(path, message, did_you_mean(side, sides))


def _operator_hint(name: str, catalogue: Catalogue) -> str:
    """The nearest operator; when none is near, what could not be loaded may be why."""
    lost = [f"{p.file}: {p.message}" for p in catalogue.problems if not p.own]
    hint = did_you_mean(name, catalogue.operators)
    if not lost or nearest(name, catalogue.operators):
        return hint
    return f"{hint}; not loaded: {', '.join(lost)}"


def _config_part(draft: Draft, i: int, operator: OperatorClass) -> Part:
    """The config of a step, with what the ml block has for keys that the step does not set."""
    path: KeyPath = ("steps", i, "config")
    given = draft.document.get(path)
    value = dict(given) if isinstance(given, dict) else {}
    moved: dict[KeyPath, KeyPath] = {}
    entry = ml_entry(draft.document.get(("ml",)) or {}, operator.Config, value)
    if entry is not None:
        _check_entry(draft, i, entry)
        for key, there in entry.values.items():
            if key not in value:
                value[key] = there
                moved[(key,)] = ("ml", *entry.path, key)
    for key, (default, where) in ml_defaults(draft.spec.ml, operator.Config).items():
        if key not in value and operator.Config.takes_default(key, value):
            value[key] = default
            moved[(key,)] = ("ml", *where)
    return Part(draft.document, path, value, moved)


def _check_entry(draft: Draft, i: int, entry: Entry) -> None:
    """An entry is of one step, and of things that are switched on."""
    step = draft.spec.steps[i].name
    if not entry.enabled:
        path: KeyPath = ("ml", entry.path[0], "enabled")
        at = path if draft.given(*path) else path[:-1]
        message = f"{entry.path[0]} is switched off, and step {step!r} takes part"
        draft.at_value(at, message, "set `enabled: true`, or take the step away")
    other = draft.entries.setdefault(entry.path, step)
    if other != step:
        message = f"two steps run it: {other!r} and {step!r}"
        draft.at_value(("ml", *entry.path, "name"), message, "their counts would mix: copy it")


def check_entries(draft: Draft) -> None:
    """Report what is defined in the ml block for a step that is not there."""
    testing = draft.spec.ml.ab_testing
    names: dict[str, int] = {}
    for i, experiment in enumerate(testing.experiments):
        path: KeyPath = ("ml", "ab_testing", "experiments", i)
        if names.setdefault(experiment.name, i) != i and experiment.name != PLACEHOLDER:
            draft.at_value((*path, "name"), f"duplicate experiment {experiment.name!r}")
        elif testing.enabled and path[1:] not in draft.entries:
            hint = f"add a step whose config says `experiment: {experiment.name}`"
            draft.at_value((*path, "name"), f"no step runs {experiment.name!r}", hint)


class _Unopened(ModelError):  # noqa: N818 - reads as the fact it states
    """No model store could be opened; that has its finding."""


class _Nothing:
    """Stands for a model store that could not be opened."""

    def find(self, name: str, reference: str = "champion") -> Any:
        raise _Unopened(name)

    def open_folder(self, folder: Any) -> Any:
        raise _Unopened(str(folder))
