"""Report: the medians of all levels in one table, and what each axis follows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.scaling.case import TOLERANCE
from benchmarks.scaling.results import AxisResult, Level

_HEADINGS = ("", "CPU µs", "least – most", "events/s", "broker µs", "MB", "batch")


def show(console: Console, results: Sequence[AxisResult]) -> None:
    table = Table(title="cost of one event (medians; CPU of all workers together)")
    table.add_column("what grows")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        for number, level in enumerate(result.levels):
            first = number == 0
            table.add_row(
                result.name if first else "",
                *_cells(level),
                end_section=number == len(result.levels) - 1,
            )
    console.print(table)
    for result in results:
        console.print(f"{result.name}: {verdict(result)}", highlight=False)


def verdict(result: AxisResult) -> str:
    """What the axis shows, in a line."""
    law = result.law
    if law is None:
        mark = "[green]✓[/]" if result.kept else "[red]✗[/]"
        bound = f"{'≤' if result.kept else '>'} {TOLERANCE:.0%}"
        return f"{mark} constant within {result.spread:.0%} ({bound})"
    if result.name == "batch size":
        text = f"{law.fixed:.1f} + {law.growing:.0f} / batch"
    else:
        text = f"{law.fixed:.1f} + {law.growing * 1000:.2f} per KB"
    return f"{text} µs (within {law.worst:.0%})"


def _cells(level: Level) -> list[str]:
    costs = [point.cpu_us for point in level.points]
    return [
        f"{level.level:,.0f}",
        f"{level.median('cpu_us'):.1f}",
        f"{min(costs):.1f} – {max(costs):.1f}",
        f"{level.median('events_per_s'):,.0f}",
        f"{level.median('broker_us'):.1f}",
        f"{level.median('rss_mb'):,.0f}",
        f"{level.median('batch'):,.0f}",
    ]
