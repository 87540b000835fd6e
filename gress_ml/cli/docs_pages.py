"""Reference pages: topology keys, operators, event schemas and metrics, from their declarations."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from textwrap import fill
from typing import Any

from ruamel.yaml import YAML

from gress_ml import metrics
from gress_ml.cli.docs_tables import config_pages, markdown, table
from gress_ml.expression import ALLOWED
from gress_ml.metrics import Metric
from gress_ml.operator import Example
from gress_ml.schema import EventSchema, Field
from gress_ml.special import SPECIAL_COLUMNS
from gress_ml.topology.catalogue import Catalogue, OperatorClass
from gress_ml.topology.spec import TopologySpec

MADE = "<!-- Made by `gress docs`; change the declarations in the code, not this page. -->"

_NOTES = """\
Durations are written `50ms`, `5s`, `5m`, `1h30m`, or as a number of seconds. `${NAME}` anywhere in
a value stands for an environment variable, `${NAME:-default}` for one that may be missing. Relative
paths start at the project folder: the folder above `topologies/`, else the file's own.

A key that is not listed here is an error, with its line and column."""

_SPECIAL = {
    "decision_id": "`topic-partition-offset` of the input record: the same on every replay",
    "event_time_ms": "time of the event, in milliseconds since the epoch",
    "offset": "offset of the input record",
    "partition": "partition of the input record",
    "topic": "topic of the input record",
    "degraded": "list of the systems that the batch was made without: `feature_store`, `model`",
}


def reference_pages(catalogue: Catalogue, schemas: Mapping[str, EventSchema]) -> Mapping[str, str]:
    """The reference pages by their path, ``operators/<name>.md`` among them."""
    pages = {
        "README.md": _index(catalogue, schemas),
        "topology.md": _topology(),
        "schemas.md": _schemas(schemas),
    }
    for name, operator in catalogue.operators.items():
        pages[f"operators/{name}.md"] = _operator(operator)
    return {path: _page(parts) for path, parts in pages.items()}


def metrics_page(catalogue: Catalogue) -> str:
    """The page of all metrics: those of the library, and those that operators declare."""
    parts = ["# Metrics", _METRICS]
    for title, found in documented_metrics(catalogue).items():
        parts += [f"## {title}", _metrics_table(found)]
    return _page(parts)


def documented_metrics(catalogue: Catalogue) -> Mapping[str, Sequence[Metric]]:
    """All metrics, under the library or the operator that declares them."""
    modules = [metrics, *(sys.modules[o.__module__] for o in catalogue.operators.values())]
    groups: dict[str, Sequence[Metric]] = {}
    seen: set[str] = set()
    for module in modules:
        found = [m for m in _metrics_in(module) if m.name not in seen]
        seen.update(metric.name for metric in found)
        title = "The library" if module is metrics else f"`{module.__name__.rpartition('.')[2]}`"
        if found:
            groups[title] = found
    return groups


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join([MADE, *(part for part in parts if part)]) + "\n"


# --- pages ----------------------------------------------------------------------------------------


def _index(catalogue: Catalogue, schemas: Mapping[str, EventSchema]) -> Sequence[str]:
    operators = [
        (f"[`{name}`](operators/{name}.md)", _first_line(operator))
        for name, operator in catalogue.operators.items()
    ]
    named = ", ".join(f"`{name}`" for name in sorted(schemas)) or "none"
    return [
        "# Reference",
        f"- [Topology file](topology.md): every key.\n- [Event schemas](schemas.md): {named}.",
        "## Operators",
        table(("operator", "what it does"), operators),
    ]


def _topology() -> Iterator[str]:
    yield "# Topology file"
    yield markdown(TopologySpec.__doc__ or "")
    yield _NOTES
    yield "## Keys"
    yield from config_pages(TopologySpec, level=3)
    yield "## Special columns"
    yield "Every batch has these without declaring them; `fields`, `when` and `key` may use them."
    rows = [
        (f"`{c.name}`", c.type.value, _SPECIAL.get(c.name, "")) for c in SPECIAL_COLUMNS.values()
    ]
    yield table(("column", "type", "value"), rows)
    yield "## Expressions"
    yield (
        "`when` of an output, and `expression` of a feature, are expressions over columns. They "
        "look like Python and are not run by Python. Allowed are:"
    )
    yield f"```text\n{fill(ALLOWED, 92)}\n```"
    yield (
        "Arithmetic with a missing value gives a missing value; a comparison with one is false. "
        "Dividing by zero gives infinity or a missing value."
    )


def _operator(operator: OperatorClass) -> Iterator[str]:
    yield f"# `{operator.name}`"
    yield _description(operator)
    yield "## Configuration"
    yield from config_pages(operator.Config, level=3)
    if operator.examples:
        yield "## Examples"
        yield "These run as tests."
    for example in operator.examples:
        yield from _example(example)


def _example(example: Example) -> Iterator[str]:
    title = example.title[0].upper() + example.title[1:]
    yield f"### {title}"
    yield f"```yaml\n{_yaml({'config': dict(example.config)})}```"
    yield f"Rows in:\n\n```text\n{_json_lines(example.rows)}\n```"
    yield "Rows out (the columns shown; others come too):"
    yield f"```text\n{_json_lines(example.expected)}\n```"
    if example.rejected:
        rows = ", ".join(f"row {row} as `{code}`" for row, code in example.rejected.items())
        yield f"Rejected: {rows} (rows count from 0)."


def _schemas(schemas: Mapping[str, EventSchema]) -> Iterator[str]:
    yield "# Event schemas"
    yield (
        "An input names one of these by `schema:`. Fields that are not listed are ignored. A value "
        "that breaks a limit makes the event a dead letter."
    )
    for name, schema in sorted(schemas.items()):
        yield f"## `{name}`"
        if schema.event_time:
            yield f"The event's time is `{schema.event_time}`."
        yield table(
            ("field", "type", "default", "allowed", "unit", "meaning"),
            [_field(field) for field in schema.fields],
        )


def _field(field: Field) -> Sequence[str]:
    default = "–" if field.default is None else f"`{json.dumps(field.default)}`"
    return (
        f"`{field.name}`",
        field.type.value,
        "**required**" if field.required else default,
        _allowed(field),
        field.unit,
        markdown(field.description),
    )


def _allowed(field: Field) -> str:
    if field.choices:
        return ", ".join(f"`{choice}`" for choice in field.choices)
    low = "" if field.minimum is None else f"≥ {field.minimum:.15g}"
    high = "" if field.maximum is None else f"≤ {field.maximum:.15g}"
    return ", ".join(part for part in (low, high) if part)


# --- metrics --------------------------------------------------------------------------------------

_METRICS = """\
On `/metrics` of every worker, in the Prometheus text format. A histogram `x` gives `x_bucket`,
`x_sum` and `x_count`."""


def _metrics_in(module: Any) -> list[Metric]:
    return [value for value in vars(module).values() if isinstance(value, Metric)]


def _metrics_table(found: Sequence[Metric]) -> str:
    rows = [
        (
            f"`{metric.name}`",
            metric.kind.value,
            ", ".join(f"`{label}`" for label in metric.labels) or "–",
            metric.help,
        )
        for metric in found
    ]
    return table(("metric", "kind", "labels", "meaning"), rows)


# --- texts ----------------------------------------------------------------------------------------


def _first_line(operator: OperatorClass) -> str:
    return markdown(inspect.cleandoc(operator.__doc__ or "").partition("\n")[0])


def _description(operator: OperatorClass) -> str:
    """The module's docstring, which says what the operator does and guarantees; else its own."""
    module = inspect.getdoc(sys.modules[operator.__module__]) or ""
    text = module.removeprefix(f"{operator.name}:").strip() or inspect.getdoc(operator) or ""
    return markdown(text[:1].upper() + text[1:])


def _yaml(value: Any) -> str:
    writer = YAML()
    writer.default_flow_style = None
    writer.width = 400  # no line is folded
    written = StringIO()
    writer.dump(json.loads(json.dumps(value)), written)
    return written.getvalue()


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(json.dumps(dict(row), ensure_ascii=False) for row in rows)
