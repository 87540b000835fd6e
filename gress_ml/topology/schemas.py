"""Named event schemas: modules in the entry-point group ``gress_ml.schemas`` list ``SCHEMAS``."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from gress_ml.schema import EventSchema

GROUP = "gress_ml.schemas"


@dataclass(frozen=True, slots=True)
class NamedSchemas:
    """Schemas by name, and what could not be loaded."""

    schemas: dict[str, EventSchema] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def named_schemas() -> NamedSchemas:
    """The schemas of all installed packages. An entry that fails is a problem, not a crash."""
    found = NamedSchemas()
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.value):
        _load(entry, found)
    return found


def _load(entry: EntryPoint, found: NamedSchemas) -> None:
    try:
        schemas = tuple(entry.load().SCHEMAS)
    except Exception as error:  # noqa: BLE001, RUF100 - whatever a foreign module does
        found.problems.append(f"schemas of {entry.value}: {type(error).__name__}: {error}")
        return
    for schema in schemas:
        if not isinstance(schema, EventSchema):
            found.problems.append(f"schemas of {entry.value}: {schema!r} is not an EventSchema")
        elif schema.name in found.schemas:
            found.problems.append(f"schemas of {entry.value}: {schema.name!r} is there twice")
        else:
            found.schemas[schema.name] = schema
