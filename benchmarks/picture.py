"""Picture: the pace of each contender as a bar, fastest first, in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.contenders import Kind
from benchmarks.figures import Figures, Row
from benchmarks.report import number

_WIDTH = 920
_MARGIN = 28
_LABELS = 268  # the width of the names
_BARS = 470  # the width of the longest bar
_LINE = 27
_BAR = 17

_STYLE = """
  .page { fill: #ffffff } .title { fill: #1f2430; font-size: 17px; font-weight: 600 }
  .detail { fill: #667085; font-size: 12px } .name { fill: #1f2430; font-size: 13px }
  .value { fill: #1f2430; font-size: 12.5px; font-weight: 600 }
  .group { fill: #667085; font-size: 10.5px; letter-spacing: .4px }
  .gress { fill: #2f8f5b } .bare { fill: #98a2b3 } .peer { fill: #5b9bd5 }
  text { font-family: ui-sans-serif, system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14171f } .title, .name, .value { fill: #eef1f6 }
    .detail, .group { fill: #98a2b3 } .gress { fill: #4cb87c } .bare { fill: #667085 }
    .peer { fill: #4a86be }
  }
"""
_CLASSES = {Kind.GRESS: "gress", Kind.BARE: "bare", Kind.PEER: "peer"}
_LEGEND = {
    Kind.GRESS: "gress-ml",
    Kind.PEER: "other stream libraries",
    Kind.BARE: "loops by hand, no framework",
}


def draw(figures: Figures) -> str:
    """One SVG image: groups of bars on one linear scale."""
    most = max((row.events_per_s.median for row in figures.rows), default=1.0)
    parts, y = [], 92
    for title, rows in _groups(figures.rows):
        parts.append(_text("group", _MARGIN, y, title.upper()))
        for row in rows:
            y += _LINE
            parts.append(_bar(row, y, row.events_per_s.median / most * _BARS))
        y += _LINE + 10
    height = y + 2
    return "\n".join([*_frame(height), *_legend(), *parts, "</svg>\n"])


def _groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    once = [row for row in rows if row.key.endswith("exactly_once")]
    damaged = [row for row in rows if row.key == "bad_1pct"]
    rest = [row for row in rows if row not in once and row not in damaged]
    groups = {"at least once": rest, "exactly once": once, "damaged events": damaged}
    return [
        (title, sorted(found, key=lambda row: -row.events_per_s.median))
        for title, found in groups.items()
        if found
    ]


def _frame(height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img">',
        "<title>Events decided per second, by contender</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}" rx="10"/>',
        _text("title", _MARGIN, 38, "Events decided per second by one worker process"),
    ]


def _legend() -> list[str]:
    parts, x = [], _MARGIN
    for kind, name in _LEGEND.items():
        parts.append(
            f'<rect class="{_CLASSES[kind]}" x="{x}" y="52" width="11" height="11" rx="3"/>'
        )
        parts.append(_text("detail", x + 17, 62, name))
        x += 40 + 7 * len(name)
    return parts


def _bar(row: Row, y: int, width: float) -> str:
    x = _MARGIN + _LABELS
    bar = f'<rect class="{_CLASSES[row.kind]}" x="{x}" y="{y - 13}" width="{max(width, 2):.1f}"'
    value = f"{row.events_per_s.median:,.0f}"
    return "\n".join(
        [
            _text("name", _MARGIN, y, row.name),
            f'{bar} height="{_BAR}" rx="4"/>',
            _text("value", x + width + 9, y, value),
            _text(
                "detail",
                x + width + 18 + 7.4 * len(value),
                y,
                f"{number(row.cpu_us.median)} µs CPU",
            ),
        ]
    )


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'
