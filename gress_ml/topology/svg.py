"""A topology as a picture: SVG with a tree layout, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from gress_ml.topology.topology import Topology, step_of

_WIDTH, _HEIGHT = 200, 62  # of a box, in pixels
_GAP_X, _GAP_Y = 92, 30
_MARGIN, _TITLE = 28, 46
_MOST = 26  # characters on a line of a box

_STYLE = """
  .page { fill: #ffffff } .title { fill: #1f2430 } .kind { fill: #667085 }
  .name { fill: #1f2430 } .detail { fill: #475067 } .label { fill: #667085 }
  .edge { stroke: #98a2b3; fill: none; stroke-width: 1.6 } .tip { fill: #98a2b3 }
  .input rect { fill: #e8f3ff; stroke: #5b9bd5 } .step rect { fill: #f5f6f8; stroke: #98a2b3 }
  .output rect { fill: #e9f7ef; stroke: #57a773 } rect { stroke-width: 1.4 }
  text { font-family: ui-sans-serif, system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif }
  .title { font-size: 17px; font-weight: 600 } .name { font-size: 14px; font-weight: 600 }
  .detail { font-size: 12px } .kind { font-size: 10.5px; letter-spacing: .4px }
  .label { font-size: 11px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14171f } .title, .name { fill: #eef1f6 } .detail { fill: #c3cad8 }
    .kind, .label { fill: #98a2b3 } .edge { stroke: #667085 } .tip { fill: #667085 }
    .input rect { fill: #17304a } .step rect { fill: #232835; stroke: #667085 }
    .output rect { fill: #173526 }
  }
"""


@dataclass(frozen=True, slots=True)
class _Box:
    kind: str  # input, step or output
    name: str
    detail: str
    source: str = ""  # of steps and outputs
    label: str = ""  # on the arrow to it


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float


def svg(topology: Topology) -> str:
    """The picture as SVG text."""
    boxes = _boxes(topology)
    places = _layout(boxes)
    width = max(place.x for place in places.values()) + _WIDTH + _MARGIN
    height = max(place.y for place in places.values()) + _HEIGHT + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">',
        f"<title>{escape(topology.name)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width:g}" height="{height:g}" rx="10" stroke="none"/>',
        f'<text class="title" x="{_MARGIN}" y="{_MARGIN + 12}">{escape(topology.name)}</text>',
        *_edges(boxes, places),
        *(_drawn(box, places[box]) for box in boxes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# --- layout ---------------------------------------------------------------------------------------


def _boxes(topology: Topology) -> list[_Box]:
    boxes = [_Box("input", i.name, i.topic) for i in topology.inputs.values()]
    for step in topology.steps:
        side = step.source.partition(".")[2]
        boxes.append(_Box("step", step.name, step.operator_class.name, step.source, side))
    for output in topology.outputs:
        side = output.source.partition(".")[2]
        when = f"when {output.when.text}" if output.when else ""
        label = ", ".join(text for text in (side, when) if text)
        boxes.append(_Box("output", output.name, output.topic, output.source, label))
    return boxes


def _layout(boxes: list[_Box]) -> dict[_Box, _Place]:
    """Each box one layer right of its source. A box has one source, so no two arrows cross."""
    places: dict[_Box, _Place] = {}
    free_row = 0

    def put(box: _Box, layer: int, row: int) -> None:
        nonlocal free_row
        free_row = max(free_row, row + 1)
        x, y = layer * (_WIDTH + _GAP_X), row * (_HEIGHT + _GAP_Y)
        places[box] = _Place(_MARGIN + x, _TITLE + _MARGIN + y)
        for i, reader in enumerate(_readers(box, boxes)):
            put(reader, layer + 1, row if i == 0 else free_row)

    for box in boxes:
        if box.kind == "input":
            put(box, 0, free_row)
    return places


def _readers(box: _Box, boxes: list[_Box]) -> list[_Box]:
    if box.kind == "output":
        return []
    return [other for other in boxes if other.source and step_of(other.source) == box.name]


# --- drawing --------------------------------------------------------------------------------------


def _edges(boxes: list[_Box], places: dict[_Box, _Place]) -> Iterator[str]:
    starts = {box.name: place for box, place in places.items() if box.kind != "output"}
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>'
    )
    for box in boxes:
        if box.source:
            start, end = starts[step_of(box.source)], places[box]
            yield from _edge(start, end, box.label)


def _edge(start: _Place, end: _Place, label: str) -> Iterator[str]:
    x1, y1 = start.x + _WIDTH, start.y + _HEIGHT / 2
    x2, y2 = end.x - 2, end.y + _HEIGHT / 2
    bend = min(_GAP_X / 2, (x2 - x1) / 2)
    curve = f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
    yield f'<path class="edge" d="{curve}" marker-end="url(#tip)"/>'
    if label:
        text, full = escape(_cut(label, 32)), escape(label)
        place = f'x="{end.x + 4:g}" y="{end.y - 7:g}"'
        yield f'<text class="label" {place}>{text}<title>{full}</title></text>'


def _drawn(box: _Box, place: _Place) -> str:
    rounded = 12 if box.kind == "step" else _HEIGHT / 2
    x = place.x + (14 if box.kind == "step" else 24)
    word = {"input": "INPUT TOPIC", "step": "STEP", "output": "OUTPUT TOPIC"}[box.kind]
    return "\n".join(
        (
            f'<g class="{box.kind}">',
            f'<rect x="{place.x:g}" y="{place.y:g}" width="{_WIDTH}" height="{_HEIGHT}" '
            f'rx="{rounded:g}"/>',
            f'<text class="kind" x="{x:g}" y="{place.y + 17:g}">{word}</text>',
            f'<text class="name" x="{x:g}" y="{place.y + 35:g}">{escape(_cut(box.name))}</text>',
            f'<text class="detail" x="{x:g}" y="{place.y + 52:g}">{escape(_cut(box.detail))}'
            f"<title>{escape(box.detail)}</title></text>",
            "</g>",
        )
    )


def _cut(text: str, most: int = _MOST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
