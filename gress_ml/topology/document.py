"""Document: a YAML file as plain values, with the line and column of each key and value.

The text is untrusted: its size, depth, aliases and tags are limited, and nothing is constructed
but strings, numbers, booleans, nulls, lists and mappings (YAML 1.2 core schema).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from gress_ml.topology.environment import Environment
from gress_ml.topology.findings import Findings, KeyPath

MAX_BYTES = 250_000
_TOO_LARGE = f"the file is larger than {MAX_BYTES:,} bytes"
MAX_DEPTH = 64
MAX_NODES = 50_000  # after aliases are followed

Place = tuple[int, int]  # line, column: 1-based


@dataclass(frozen=True, slots=True)
class _Scalar:
    place: Place
    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class _List:
    place: Place
    items: list[_Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Mapping:
    place: Place
    pairs: list[tuple[_Node, _Node]] = field(default_factory=list)


_Node = _Scalar | _List | _Mapping


class Refused(Exception):  # noqa: N818 - reads as the fact it states
    """The text cannot be read at all; the finding says where and why."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


@dataclass(slots=True)
class Document:
    """Plain values, and where each stands. Places of paths that do not exist are the parent's."""

    value: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    #: Values that could not be read and have their finding already; they are None.
    unknown: set[KeyPath] = field(default_factory=set)
    #: Keys that are meant by misspelt ones; the misspelt ones have their finding.
    misspelt: set[KeyPath] = field(default_factory=set)

    def key_place(self, path: KeyPath) -> Place:
        """Where the key stands (an item of a list: where the item starts)."""
        return self.keys.get(path) or self.value_place(path)

    def value_place(self, path: KeyPath) -> Place:
        """Where the value starts: a mapping or list below its key is shown at its key."""
        while path:
            if path in self.values:
                return self.values[path]
            path = path[:-1]
        return (1, 1)

    def get(self, path: KeyPath) -> Any:
        """The value at a path; None when there is none."""
        found = self.value
        for part in path:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return None
        return found


def read_file(path: Path, environment: Environment, findings: Findings) -> Document:
    """The document in a file; an empty one where it cannot be read, which is a finding."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = "" if len(data) > MAX_BYTES else data.decode("utf-8-sig")
    except OSError as error:
        findings.add((0, 0), (), f"cannot be read: {error.strerror}")
        return Document()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        findings.add((line, 1), (), "not valid UTF-8")
        return Document()
    if len(data) > MAX_BYTES:
        findings.add((1, 1), (), _TOO_LARGE)
        return Document()
    return read_document(text, environment, findings)


def read_document(text: str, environment: Environment, findings: Findings) -> Document:
    """The document in a text. Faults go to ``findings``; what can be read is read."""
    document = Document()
    try:
        root = _compose(text)
        document.value = _Reader(document, environment, findings).read(root, (), 0)
    except Refused as fault:
        findings.add(fault.place, (), str(fault))
    finally:
        findings.hide(environment.secrets)
    return document


# --- text to nodes --------------------------------------------------------------------------------


def _compose(text: str) -> _Node:
    if len(text) > MAX_BYTES:
        raise Refused((1, 1), _TOO_LARGE)
    try:
        return _Composer(text).document()
    except MarkedYAMLError as error:
        raise _invalid(error, text) from None
    except YAMLError as error:
        raise Refused((1, 1), f"not valid YAML: {str(error).splitlines()[0]}") from None
    except (ValueError, AssertionError) as error:  # ruamel's, e.g. at '%YAML 1.9'
        raise Refused((1, 1), f"not valid YAML: {error}") from None


def _invalid(error: MarkedYAMLError, text: str) -> Refused:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    message = f"not valid YAML: {error.problem or error.context}"
    if any("${" in found for found in text.split("\n")[line : line + 1]):
        message += "; inside {} and [] put '${NAME}' in quotes"
    return Refused((line + 1, column + 1), message)


def _place(event: Event) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1


_NodeEvent = ScalarEvent | SequenceStartEvent | MappingStartEvent
_NODE_EVENTS = (ScalarEvent, SequenceStartEvent, MappingStartEvent)


class _Composer:
    """Nodes from parser events; aliases share the node of their anchor."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
        self._anchors: dict[str, _Node] = {}

    def document(self) -> _Node:
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                root = self._node(next(self._events), 0)
                next(self._events)  # the document's end
                self._no_second_document()
                return root
        raise Refused((1, 1), "the file is empty")

    def _no_second_document(self) -> None:
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                raise Refused(_place(event), "a second document: one file is one topology")

    def _node(self, event: Event, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            raise Refused(_place(event), f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if not isinstance(event, _NODE_EVENTS):
            raise Refused(_place(event), "a value is expected here")
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise Refused(_place(event), "tags are not supported")
        node = self._tree(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _tree(self, event: _NodeEvent, depth: int) -> _Node:
        if isinstance(event, ScalarEvent):
            plain = not event.style and event.tag is None
            return _Scalar(_place(event), event.value, plain)
        if isinstance(event, SequenceStartEvent):
            return _List(_place(event), [self._node(e, depth + 1) for e in self._inside()])
        pairs = [
            (self._node(key, depth + 1), self._node(next(self._events), depth + 1))
            for key in self._inside()
        ]
        return _Mapping(_place(event), pairs)

    def _alias(self, event: AliasEvent) -> _Node:
        node = self._anchors.get(str(event.anchor))
        if node is None:
            raise Refused(_place(event), f"no anchor &{event.anchor} above, or it contains itself")
        return node

    def _inside(self) -> Iterator[Event]:
        """The events up to the end of the current list or mapping."""
        for event in self._events:
            if isinstance(event, (SequenceEndEvent, MappingEndEvent)):
                return
            yield event


# --- nodes to values ------------------------------------------------------------------------------


class _Reader:
    """Plain values from nodes, noting places; aliases are followed up to a limit."""

    def __init__(self, document: Document, environment: Environment, findings: Findings) -> None:
        self._document = document
        self._environment = environment
        self._findings = findings
        self._nodes = 0

    def read(self, node: _Node, path: KeyPath, depth: int) -> Any:
        self._count(node, depth)
        if isinstance(node, _Scalar):
            self._document.values[path] = node.place
            return self._scalar(node, path)
        self._document.values[path] = self._document.keys.get(path, node.place)
        if isinstance(node, _List):
            return [self.read(item, (*path, i), depth + 1) for i, item in enumerate(node.items)]
        return self._mapping(node, path, depth)

    def _count(self, node: _Node, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise Refused(node.place, "too large after its aliases are followed")

    def _scalar(self, node: _Scalar, path: KeyPath) -> Any:
        filled = self._environment.fill(node.text)
        for name in filled.missing:
            self._findings.add(
                node.place,
                path,
                f"environment variable {name} is not set",
                f"set it, or give a default: ${{{name}:-...}}",
            )
        if filled.missing:
            self._document.unknown.add(path)
            return None
        value = _resolve(filled.text) if node.plain else filled.text
        if filled.secret:
            self._environment.hide(str(value), node.text)
        return value

    def _mapping(self, node: _Mapping, path: KeyPath, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[_Node] = []
        first: dict[str, Place] = {}
        for key_node, value_node in node.pairs:
            key = self._key(key_node, path)
            if key == "<<":
                merged.append(value_node)
            elif key in first:
                message = f"duplicate key {key!r}, first on line {first[key][0]}"
                self._findings.add(key_node.place, (*path, key), message)
            elif key is not None:
                first[key] = self._document.keys[(*path, key)] = key_node.place
                found[key] = self.read(value_node, (*path, key), depth + 1)
        for other in merged:
            self._merge(other, path, depth, found)
        return found

    def _key(self, node: _Node, path: KeyPath) -> str | None:
        if isinstance(node, _Scalar):
            return node.text
        self._findings.add(node.place, path, "a key must be a plain text")
        return None

    def _merge(self, node: _Node, path: KeyPath, depth: int, found: dict[str, Any]) -> None:
        """``<<: *other``: keys of the other mapping that are not there yet."""
        self._count(node, depth)
        if isinstance(node, _List):
            for item in node.items:
                self._merge(item, path, depth + 1, found)
            return
        if not isinstance(node, _Mapping):
            self._findings.add(node.place, (*path, "<<"), "a merge needs a mapping")
            return
        for key_node, value_node in node.pairs:
            key = self._key(key_node, path)
            if key == "<<":
                self._merge(value_node, path, depth + 1, found)
            elif key is not None and key not in found:
                self._document.keys[(*path, key)] = key_node.place
                found[key] = self.read(value_node, (*path, key), depth + 1)


_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {
    word: word.lower() == "true" for word in ["true", "True", "TRUE", "false", "False", "FALSE"]
}
_INT = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _resolve(text: str) -> Any:
    """The value of a plain scalar by the YAML 1.2 core schema."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text
