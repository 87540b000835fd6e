"""Tables of keys for the reference pages: from a pydantic model's JSON Schema to Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter

from gress_ml.duration import Duration, format_duration

Schema = Mapping[str, Any]

_DURATION = TypeAdapter(Duration).json_schema()["anyOf"]
_SCALARS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "object": "mapping",
    "array": "list",
}
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
}


@dataclass(frozen=True, slots=True)
class Section:
    """One table: the mapping at a place of the file, and its keys."""

    path: str  # as ``steps[].config``; empty for the file as a whole
    schema: Schema

    @property
    def base(self) -> str:
        """The path without the kind."""
        return self.path.partition(" (type: ")[0]

    @property
    def kind(self) -> str:
        """What ``type`` says, where it decides about the keys."""
        return self.path.partition(" (type: ")[2].removesuffix(")")


def markdown(text: str) -> str:
    """A docstring as Markdown: paragraphs stay, reST roles and double backticks go."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", text.replace("``", "`")).strip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def anchor(heading: str) -> str:
    """The fragment under which a heading is found, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def config_pages(model: type[BaseModel], *, level: int = 2) -> Iterator[str]:
    """The tables of a model and of all that it holds, each under a heading with its path."""
    root = model.model_json_schema()
    definitions: Mapping[str, Schema] = root.get("$defs", {})
    places = _places(root, definitions)
    told: Mapping[str, Schema] = {}  # keys that the kinds of one thing share
    for section in places.values():
        if section.kind and section.kind == _kinds(section.base, places)[0].kind:
            told = _shared(_kinds(section.base, places))
            yield f"{'#' * level} `{section.base}`"
            yield "`type` says which of the kinds below it is. All of them have these keys:"
            yield _keys(told, section.schema.get("required", ()), places)
        if section.path:
            yield f"{'#' * level} `{section.path}`"
            yield markdown(section.schema.get("description", ""))
        keys = section.schema.get("properties", {})
        own = {key: keys[key] for key in keys if not section.kind or key not in told}
        yield _keys(own, section.schema.get("required", ()), places)


# --- places ---------------------------------------------------------------------------------------


def _places(root: Schema, definitions: Mapping[str, Schema]) -> dict[str, Section]:
    """Each definition at the place where it is met first, in the order of a reader of the file.

    The root has no name.
    """
    found: dict[str, Section] = {}

    def visit(name: str, section: Section) -> None:
        if name not in found:
            found[name] = section
            for path, inner in _references(section):
                visit(inner, Section(path, definitions[inner]))

    visit("", Section("", root))
    return found


def _kinds(base: str, places: Mapping[str, Section]) -> list[Section]:
    """The sections of one place between which ``type`` decides."""
    return [section for section in places.values() if section.kind and section.base == base]


def _shared(sections: Sequence[Section]) -> Mapping[str, Schema]:
    """The keys that all of these have in the same form."""
    first, *others = [section.schema["properties"] for section in sections]
    return {key: first[key] for key in first if all(o.get(key) == first[key] for o in others)}


def _references(section: Section) -> Iterator[tuple[str, str]]:
    start = f"{section.path}." if section.path else ""
    for key, schema in section.schema.get("properties", {}).items():
        yield from _inside(schema, f"{start}{key}")


def _inside(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    if "$ref" in schema:
        yield path, _name(schema)
    for choice in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from _inside(choice, path)
    kinds = {ref: kind for kind, ref in schema.get("discriminator", {}).get("mapping", {}).items()}
    for choice in schema.get("oneOf", ()):
        yield f"{path} (type: {kinds[choice['$ref']]})", _name(choice)
    if "items" in schema:
        yield from _inside(schema["items"], f"{path}[]")
    for inner in _values(schema):
        yield from _inside(inner, f"{path}.<name>")


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _values(schema: Schema) -> list[Schema]:
    """What the values of a mapping may be."""
    found = [*schema.get("patternProperties", {}).values()]
    if isinstance(schema.get("additionalProperties"), dict):
        found.append(schema["additionalProperties"])
    return found


# --- keys -----------------------------------------------------------------------------------------


def _keys(
    keys: Mapping[str, Schema], required: Sequence[str], places: Mapping[str, Section]
) -> str:
    rows = [
        (
            f"`{key}`",
            _type(value, places),
            _default(value, key in required),
            _meaning(value, places),
        )
        for key, value in keys.items()
    ]
    return table(("key", "type", "default", "meaning"), rows)


def _type(schema: Schema, places: Mapping[str, Section]) -> str:
    if "$ref" in schema:
        return _link(_name(schema), places)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("anyOf") == _DURATION:
        return "duration"
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if choices:
        texts = [_type(choice, places) for choice in choices if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(texts))
    return _plain(schema, places)


def _plain(schema: Schema, places: Mapping[str, Section]) -> str:
    kind = schema.get("type")
    if kind is None:
        return "any value"
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {_type(schema['prefixItems'][0], places)}"
    if "items" in schema:
        return f"list of {_type(schema['items'], places)}"
    if kind == "object" and (values := _values(schema)):
        return f"mapping of names to {_type(values[0], places)}"
    limits = [text.format(f"{schema[key]:.15g}") for key, text in _LIMITS.items() if key in schema]
    return f"{_SCALARS[kind]} {', '.join(limits)}".rstrip()


def _link(name: str, places: Mapping[str, Section]) -> str:
    section = places[name]
    return f"[`{section.kind or section.path}`](#{anchor(section.path)})"


def _default(schema: Schema, required: bool) -> str:
    if required:
        return "**required**"
    value = schema.get("default")
    if value is None or isinstance(value, dict):
        return "–"
    if schema.get("anyOf") == _DURATION:
        return f"`{format_duration(value)}`"
    return "empty" if value in ("", []) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _meaning(schema: Schema, places: Mapping[str, Section]) -> str:
    described = schema
    if "$ref" in schema and "description" not in schema:  # the same as that of its type
        described = places[_name(schema)].schema
    text = markdown(described.get("description", ""))
    if entries := schema.get("ml_entry"):
        text = (
            f"{text} Keys that the step does not set are those of the entry of this name in "
            f"`ml.{entries}`."
        )
    source = schema.get("ml_default")
    return f"{text} Where the step does not set it, `ml.{source}` counts." if source else text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
