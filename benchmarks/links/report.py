"""Report: the model beside the measurements, as tables for the screen and the documentation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from statistics import median

from benchmarks.links.compare import (
    GROUPS,
    Error,
    Gain,
    error_of,
    errors,
    gains,
    mean_error,
    model_ms,
)
from benchmarks.links.grid import SIZES, Cell
from benchmarks.links.table import Row, Table
from benchmarks.scaling.document import with_figures
from benchmarks.sheet import Sheet
from gress_ml.dwcp.fitted import FITTED

_WORST = 12
_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)


def sheets(table: Table) -> Iterator[Sheet]:
    """Machine, errors by group, gains by streams, fitted numbers, the worst cells, all cells."""
    yield Sheet("machine", "machine", ("", ""), table.machine, (0, 1))
    yield _summary(table.rows)
    yield _gains(table.rows)
    yield _fit(table.rows)
    yield _worst(table.rows)
    yield _all(table.rows)


def filled(page: str, table: Table) -> str:
    """The page with the figures of the table."""
    return with_figures(page, {sheet.name: sheet.markdown() for sheet in sheets(table)})


def _summary(rows: Sequence[Row]) -> Sheet:
    found: list[Sequence[str]] = []
    for group in GROUPS.values():
        # Groups come in the order of their cells, which are sorted; of one name only, nothing.
        found += [_error(error) for error in errors(rows, group)]
    headings = ("cells", "", "median", "mean", "9 of 10 below", "median, signed")
    return Sheet("summary", "error of the model, as a share of what was measured", headings, found)


def _error(error: Error) -> Sequence[str]:
    return (
        error.name,
        f"{error.cells:,}",
        f"{error.median:.1%}",
        f"{error.mean:.1%}",
        f"{error.p90:.1%}",
        f"{error.bias:+.1%}",
    )


def _gains(rows: Sequence[Row]) -> Sheet:
    """Transfers on links of 10 ms and more, by how much four streams really gain."""
    kinds: dict[tuple[str, int], list[Gain]] = defaultdict(list)
    for gain in gains(rows):
        if gain.cell.rtt_ms >= 10.0:
            kinds[gain.cell.congestion_control, gain.cell.size].append(gain)
    found = [
        (
            f"{control}, {_size(size)}",
            str(len(those)),
            *(f"{figure:.2f}" for figure in _least_median_most(those)),
            f"{median(gain.modelled for gain in those):.2f}",
            f"{median(abs(gain.modelled / gain.measured - 1.0) for gain in those):.1%}",
        )
        for (control, size), those in kinds.items()
    ]
    headings = ("transfers", "cells", "least", "median", "most", "model, median", "median error")
    return Sheet("gains", "how many times as fast four streams are as one", headings, found)


def _least_median_most(those: Sequence[Gain]) -> tuple[float, float, float]:
    measured = [gain.measured for gain in those]
    return min(measured), median(measured), max(measured)


def _fit(rows: Sequence[Row]) -> Sheet:
    """Each fitted number alone made smaller and larger."""
    halves = ([row for row in rows if not row.cell.held_out], [r for r in rows if r.cell.held_out])
    found: list[Sequence[str]] = []
    for name, value in asdict(FITTED).items():
        for factor in _FACTORS:
            tried = replace(FITTED, **{name: factor * value})
            shown = f"{factor * value:.3g}" + (" (taken)" if factor == 1.0 else "")
            means = [f"{mean_error(half, tried):.2%}" if half else "" for half in halves]
            found.append((name if factor == _FACTORS[0] else "", shown, *means))
    headings = ("number", "value", "mean error, fitted on", "mean error, held out")
    return Sheet("fit", "the fitted numbers, each moved alone", headings, found)


def _worst(rows: Sequence[Row]) -> Sheet:
    worst = sorted(rows, key=lambda row: -abs(error_of(row)))[:_WORST]
    headings = (
        *("cell", "size", "measured ms", "model ms", "error"),
        *("± of the median", "times", "late µs"),
    )
    found = [
        (
            _name(row.cell),
            _size(row.cell.size),
            f"{row.median_ms:,.0f}",
            f"{model_ms(row.cell):,.0f}",
            f"{error_of(row):+.0%}",
            f"{row.uncertainty:.0%}",
            str(len(row.transfer_ms)),
            f"{row.late_us:.0f}",
        )
        for row in worst
    ]
    return Sheet("worst", "where the model is farthest off", headings, found)


def _all(rows: Sequence[Row]) -> Sheet:
    lines: dict[str, dict[int, str]] = defaultdict(dict)
    for row in rows:
        figures = f"{_ms(row.median_ms)} / {_ms(model_ms(row.cell))} ({error_of(row):+.0%})"
        lines[_name(row.cell)][row.cell.size] = figures
    found = [(name, *(figures.get(size, "") for size in SIZES)) for name, figures in lines.items()]
    headings = ("measured / model, ms", *map(_size, SIZES))
    return Sheet("cells", "all cells: medians", headings, found)


def _name(cell: Cell) -> str:
    streams = f"{cell.streams} stream" + ("s" if cell.streams > 1 else "")
    parts = [
        f"{cell.congestion_control}, {streams}",
        f"{cell.rtt_ms:g} ms",
        f"{cell.rate_mbps:g} Mbit/s",
        f"loss {cell.loss:g}",
    ]
    if cell.jitter_ms:
        parts.append(f"jitter {cell.jitter_ms:g} ms")
    return ", ".join(parts)


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _size(size: int) -> str:
    return f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} KB"
