"""Picture: one small panel per axis, as SVG, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10

from benchmarks.scaling.results import AxisResult, Level

_WIDTH, _HEIGHT = 250, 190  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 14, 44, 30  # around its plot
_COLUMNS, _MARGIN, _TITLE = 4, 16, 44
_TICKS = 4
_WIDE = 20  # costs that differ by more are drawn in powers of ten

_STYLE = """
  .page { fill: #ffffff } .title, .name { fill: #1f2430 } .text { fill: #667085 }
  .grid { stroke: #e4e7ec } .line { stroke: #2f6fb3; fill: none; stroke-width: 2 }
  .dot { fill: #2f6fb3; fill-opacity: .38 } .middle { fill: #2f6fb3 }
  .law { stroke: #c4631b; fill: none; stroke-width: 1.4; stroke-dasharray: 4 3 }
  text { font-family: ui-sans-serif, system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif }
  .title { font-size: 16px; font-weight: 600 } .name { font-size: 13px; font-weight: 600 }
  .text { font-size: 10.5px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14171f } .title, .name { fill: #eef1f6 } .text { fill: #98a2b3 }
    .grid { stroke: #2b3140 } .line { stroke: #6aa9e9 } .dot, .middle { fill: #6aa9e9 }
    .law { stroke: #e59a5c }
  }
"""


def picture(results: Sequence[AxisResult]) -> str:
    """Each repetition as a dot, medians as a line; where there is a law, its curve dashed."""
    rows = -(-len(results) // _COLUMNS)
    width = 2 * _MARGIN + min(len(results), _COLUMNS) * _WIDTH
    height = _TITLE + _MARGIN + rows * _HEIGHT
    title = "CPU µs of the workers per event"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}" rx="10"/>',
        f'<text class="title" x="{_MARGIN}" y="28">{title}</text>',
    ]
    for number, (result, top) in enumerate(zip(results, _tops(results), strict=True)):
        x = _MARGIN + number % _COLUMNS * _WIDTH
        y = _TITLE + number // _COLUMNS * _HEIGHT
        parts += [f'<g transform="translate({x} {y})">', *_panel(result, top), "</g>"]
    return "\n".join((*parts, "</svg>", ""))


class _Scale:
    """Levels side by side, in equal steps; cost from zero up, or in powers of ten."""

    def __init__(self, levels: Sequence[Level], most: float) -> None:
        costs = [point.cpu_us for level in levels for point in level.points]
        self._step = (_WIDTH - _LEFT - _RIGHT) / len(levels)
        self._powers = max(costs) > _WIDE * min(costs)
        if self._powers:
            low, high = floor(log10(min(costs))), ceil(log10(max(costs)))
            self.ticks = [10.0**power for power in range(low, high + 1)]
        else:
            self.ticks = [most * tick / _TICKS for tick in range(_TICKS + 1)]

    def x(self, number: float) -> float:
        return round(_LEFT + (number + 0.5) * self._step, 1)

    def y(self, cost: float) -> float:
        least, most = self.ticks[0], self.ticks[-1]
        share = log10(cost / least) / log10(most / least) if self._powers else cost / most
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _panel(result: AxisResult, most: float) -> Iterator[str]:
    scale = _Scale(result.levels, most)
    yield f'<text class="name" x="{_LEFT}" y="18">{escape(result.name)}</text>'
    yield f'<text class="text" x="{_LEFT}" y="33">{escape(_finding(result))}</text>'
    yield from _grid(scale)
    for number, level in enumerate(result.levels):
        x = scale.x(number)
        yield from (
            f'<circle class="dot" cx="{x}" cy="{scale.y(point.cpu_us)}" r="2.6"/>'
            for point in level.points
        )
        yield _text(_short(level.level), x, _HEIGHT - _BOTTOM + 15, "middle")
    medians = [scale.y(level.median("cpu_us")) for level in result.levels]
    law = result.law
    if law is None:
        yield _line("line", scale, medians)
    else:
        yield _line("law", scale, [scale.y(law.at(result.x(level))) for level in result.levels])
    for number, y in enumerate(medians):
        yield f'<circle class="middle" cx="{scale.x(number)}" cy="{y}" r="3.2"/>'


def _grid(scale: _Scale) -> Iterator[str]:
    for cost in scale.ticks:
        y = scale.y(cost)
        yield f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>'
        yield _text(f"{cost:g}", _LEFT - 6, y + 3.5, "end")


def _tops(results: Sequence[AxisResult]) -> Iterator[float]:
    """Where each panel ends: all alike where cost is constant, so that they can be compared."""
    constant = [result for result in results if result.is_constant]
    for result in results:
        yield _round_up(_dearest(constant if result.is_constant else [result]))


def _dearest(results: Sequence[AxisResult]) -> float:
    return max(p.cpu_us for result in results for level in result.levels for p in level.points)


def _finding(result: AxisResult) -> str:
    law = result.law
    if law is None:
        return f"constant within {result.spread:.0%}"
    if result.name == "batch size":
        return f"{law.fixed:.1f} + {law.growing:.0f} / batch"
    return f"{law.fixed:.1f} + {law.growing * 1000:.2f} per KB"


def _line(kind: str, scale: _Scale, heights: Sequence[float]) -> str:
    places = " ".join(f"{scale.x(number)},{y}" for number, y in enumerate(heights))
    return f'<polyline class="{kind}" points="{places}"/>'


def _text(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text class="text" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(level: float) -> str:
    """100 k rather than 100,000; as it is below ten thousand."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if level >= max(size, 10_000):
            return f"{level / size:g} {letter}"
    return f"{level:,g}"


def _round_up(cost: float) -> float:
    """The next cost at which four ticks are plain numbers."""
    scale = 1.0
    while scale * 20 < cost:
        scale *= 10
    plain = (1, 1.2, 1.6, 2, 2.4, 2.8, 3.2, 4, 6, 8, 10, 12, 16, 20)
    return next(scale * number for number in plain if scale * number >= cost)
