"""Validation: a part of the document against its pydantic type, every fault at its place.

After the faults are reported the value is repaired (faulty keys away, placeholders where a key is
needed), so that one fault does not hide the others.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, PydanticUserError, ValidationError
from pydantic_core import ErrorDetails

from gress_ml.topology.document import Document, Place
from gress_ml.topology.findings import Findings, KeyPath, did_you_mean, nearest

#: Stands for a text that is missing or wrong; whatever refers to it is not checked further.
PLACEHOLDER = "__missing__"

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a value: where, and what kind of pydantic error."""

    path: KeyPath  # within the value
    kind: str
    message: str
    on_key: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the document and where it stands; ``moved`` says what came from elsewhere."""

    document: Document
    path: KeyPath
    value: Any
    moved: Mapping[KeyPath, KeyPath] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> KeyPath:
        """The path in the document of a path within the value."""
        for start, elsewhere in self.moved.items():
            if path[: len(start)] == start:
                return (*elsewhere, *path[len(start) :])
        return (*self.path, *path)

    def place(self, fault: Fault) -> Place:
        """Where a fault is shown: unknown keys at the key, missing keys at their parent."""
        if fault.kind == "missing":
            return self.document.key_place(self.origin(fault.path[:-1]))
        at = self.origin(fault.path)
        on_key = fault.on_key or fault.kind == "extra_forbidden"
        return self.document.key_place(at) if on_key else self.document.value_place(at)


@dataclass(frozen=True, slots=True)
class Validated(Generic[M]):
    """``value`` is None when nothing could be made of it; ``faults`` were reported."""

    value: M | None
    faults: tuple[Fault, ...]


def validate(model: type[M], part: Part, findings: Findings, *, placeholders: bool) -> Validated[M]:
    """The value as its type, repaired where it is faulty; every fault goes to ``findings``."""
    value = part.value if part.value is not None else {}
    made, faults = _try(model, value)
    if made is not None:
        return Validated(made, ())
    known = _Names(model)
    for fault in sorted(faults, key=lambda fault: fault.kind == "missing"):
        if part.origin(fault.path) not in part.document.unknown:
            _report(fault, part, known, findings)
    return Validated(_repaired(model, value, faults, placeholders), tuple(faults))


def _try(model: type[M], value: Any) -> tuple[M | None, list[Fault]]:
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
    return None, [*_faults(errors, value)]


# --- reporting ------------------------------------------------------------------------------------


def _faults(errors: Iterable[ErrorDetails], value: Any) -> Iterator[Fault]:
    """Faults by path. Of a value that could be of several types, the nearest type counts."""
    found: dict[KeyPath, list[ErrorDetails]] = {}
    for error in errors:
        found.setdefault(_data_path(error, value), []).append(error)
    deeper = {path[:i] for path in found for i in range(len(path))}
    for path, same in found.items():
        kind = same[0]["type"]
        if path not in deeper or kind == "value_error":
            on_key = "[key]" in same[0]["loc"]
            yield Fault(path, kind, _message(same, _at(value, path)), on_key)


def _data_path(error: ErrorDetails, value: Any) -> KeyPath:
    """Pydantic's location without the parts that name a type of a union."""
    path: list[str | int] = []
    for part in error["loc"]:
        if (isinstance(value, Mapping) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        ):
            path.append(part)
            value = value[part]  # type: ignore[index]
    if error["type"] == "missing":
        path.append(error["loc"][-1])
    return tuple(path)


def _at(value: Any, path: KeyPath) -> Any:
    for part in path:
        if isinstance(value, Mapping) and part not in value:
            return None
        value = value[part]
    return value


def _message(errors: list[ErrorDetails], value: Any) -> str:
    kind, name = errors[0]["type"], errors[0]["loc"][-1] if errors[0]["loc"] else ""
    if kind == "missing":
        return f"missing key {name!r}"
    if kind == "extra_forbidden":
        return f"unknown key {name!r}"
    text = ", or ".join(dict.fromkeys(_expected(error) for error in errors))
    return text if "found" in text else f"{text}; found {_found(value)}"


def _expected(error: ErrorDetails) -> str:
    """Pydantic's message in the words of a YAML file."""
    text = error["msg"].partition(", unable to parse")[0].partition(" or instance of ")[0]
    for words, ours in _WORDS:
        text = text.replace(words, ours)
    return text


_WORDS = (
    ("Value error, ", ""),
    ("Assertion failed, ", ""),
    ("Input should be ", "expected "),
    ("a valid dictionary", "a mapping"),
    ("a valid tuple", "a list"),
    ("a valid list", "a list"),
    ("a valid string", "a text"),
    ("String should", "expected a text that should"),
)


def _found(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _report(fault: Fault, part: Part, known: _Names, findings: Findings) -> None:
    origin, hint = part.origin(fault.path), ""
    if fault.kind == "missing" and origin in part.document.misspelt:
        return
    if fault.kind == "extra_forbidden":
        names = known.at(fault.path[:-1])
        hint = did_you_mean(fault.path[-1], names)
        part.document.misspelt.add((*origin[:-1], nearest(fault.path[-1], names)))
    findings.add(part.place(fault), origin, fault.message, hint)


class _Names:
    """The keys that a type knows at a path, from its JSON Schema."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._schema = _json_schema(model)

    def at(self, path: KeyPath) -> frozenset[str]:
        """Names of the keys that may stand in the mapping at a path."""
        nodes = [*self._open(self._schema)]
        for part in path:
            nodes = [inner for node in nodes for inner in self._step(node, part)]
        return frozenset(name for node in nodes for name in node.get("properties", ()))

    def _step(self, node: Mapping[str, Any], part: str | int) -> Iterator[Mapping[str, Any]]:
        if isinstance(part, int):
            below = [node.get("items"), *node.get("prefixItems", ())[part : part + 1]]
        else:
            below = [node.get("properties", {}).get(part, node.get("additionalProperties"))]
        for schema in below:
            yield from self._open(schema)

    def _open(self, schema: Any) -> Iterator[Mapping[str, Any]]:
        """The schema and what it refers to, all alternatives."""
        if not isinstance(schema, Mapping):
            return
        yield schema
        if "$ref" in schema:
            yield from self._open(self._schema["$defs"][schema["$ref"].rpartition("/")[2]])
        for word in ("anyOf", "oneOf", "allOf"):
            for inner in schema.get(word, ()):
                yield from self._open(inner)


def _json_schema(model: type[BaseModel]) -> Mapping[str, Any]:
    try:
        return model.model_json_schema()
    except PydanticUserError:  # a type without a JSON form: no hints for it
        return {}


# --- repair ---------------------------------------------------------------------------------------

_TRIES = 12


def _repaired(model: type[M], value: Any, faults: list[Fault], placeholders: bool) -> M | None:
    if not isinstance(value, dict):
        return None
    value = copy.deepcopy(value)
    for _ in range(_TRIES):
        if not placeholders and any(fault.kind == "missing" for fault in faults):
            return None
        for fault in faults:
            _repair(value, fault.path, fault.kind)
        made, faults = _try(model, value)
        if made is not None:
            return made
    return None


def _repair(value: Any, path: KeyPath, kind: str) -> None:
    """One step towards a valid value; items of lists keep their index."""
    if not path:
        return
    parent: Any = _at(value, path[:-1])
    name: Any = path[-1]
    if parent is None:
        return
    if kind == "missing":
        parent[name] = PLACEHOLDER
    elif kind.startswith("model_") and parent[name] != {}:
        parent[name] = {}
    elif isinstance(parent, list) and parent[name] not in (PLACEHOLDER, {}):
        parent[name] = PLACEHOLDER
    elif isinstance(parent, list) or parent.get(name) == PLACEHOLDER:
        _repair(value, path[:-1], "")
    else:
        parent.pop(name, None)
