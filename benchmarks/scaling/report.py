"""Report: what was measured, as tables for the screen and for the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.scaling.case import TOLERANCE
from benchmarks.scaling.group import LARGEST_RECORD
from benchmarks.scaling.plan import Load, Plan, costs_of, largest_group
from benchmarks.scaling.results import AxisResult, Level, Results
from benchmarks.sheet import Sheet


def sheets(results: Results) -> Iterator[Sheet]:
    """Those for which there are figures."""
    yield Sheet("machine", "machine", ("", ""), results.machine, (0, 1))
    headings = ("", "level", "CPU µs", "least – most", "events/s", "broker µs", "MB", "batch")
    rows: list[Sequence[str]] = [row for axis in results.axes for row in _rows(axis)]
    yield Sheet("costs", "cost of one event: medians, CPU of all workers", headings, rows)
    findings = [(axis.name, verdict(axis)) for axis in results.axes]
    yield Sheet(
        "laws", "what it follows", ("as this grows", "the cost of an event"), findings, (0, 1)
    )
    if results.sharings:
        yield _group(results)
    if results.upkeep:
        yield _upkeep(results)
    if results.upkeep and any(axis.name == "partitions" for axis in results.axes):
        yield _plan(results)


def verdict(axis: AxisResult) -> str:
    """What an axis shows, in a line."""
    law = axis.law
    if law is None:
        bound = "≤" if axis.kept else "> (!)"
        return f"constant within {axis.spread:.1%}, {bound} {TOLERANCE:.0%}"
    if axis.name == "batch size":
        text = f"{law.fixed:.1f} + {law.growing:.0f} / batch"
    else:
        text = f"{law.fixed:.1f} + {law.growing * 1000:.2f} per KB"
    return f"{text} µs, within {law.worst:.0%}"


def _rows(axis: AxisResult) -> Iterator[Sequence[str]]:
    for number, level in enumerate(axis.levels):
        yield ("" if number else axis.name, *_cells(level))


def _cells(level: Level) -> Sequence[str]:
    costs = [point.cpu_us for point in level.points]
    return (
        f"{level.level:,.0f}" + _lost(level),
        f"{level.median('cpu_us'):.1f}",
        f"{min(costs):.1f} – {max(costs):.1f}",
        f"{level.median('events_per_s'):,.0f}",
        f"{level.median('broker_us'):.1f}",
        f"{level.median('rss_mb'):,.0f}",
        f"{level.median('batch'):,.0f}",
    )


def _lost(level: Level) -> str:
    """A store that does not answer makes events cheap: such a figure is marked."""
    lost = max(point.degraded for point in level.points)
    return f" ({lost:.0%} without store)" if lost else ""


def _group(results: Results) -> Sheet:
    rows = [
        (
            f"{one.members}",
            f"{one.partitions:,}",
            f"{one.leader_s:.2f}",
            f"{one.kept_bytes / 1024:,.0f}",
            "yes" if one.kept_bytes < LARGEST_RECORD else "no",
        )
        for one in results.sharings
    ]
    headings = ("workers", "partitions of each input", "leader CPU s", "record KiB", "fits")
    return Sheet("group", "a rebalance of one group", headings, rows, ())


def _upkeep(results: Results) -> Sheet:
    rows = [(one.name, f"{one.per_s:,.0f}", f"{one.broker_us:,.0f}") for one in results.upkeep]
    headings = ("", "measured at, per second", "broker CPU µs each")
    return Sheet("upkeep", "what the coordinators' broker pays", headings, rows)


def _plan(results: Results) -> Sheet:
    plan = Plan(Load(), costs_of(results.axes, results.upkeep))
    rows = [(line.what, line.arithmetic, line.result) for line in plan.lines()]
    largest = f"{largest_group(results.sharings):,}"
    rows.insert(3, ("workers that one group can have", f"record < {LARGEST_RECORD:,} B", largest))
    title = f"{plan.load.brokers} brokers, {plan.load.events_per_s:,} events/s"
    return Sheet("plan", title, ("", "arithmetic", "result"), rows, (0, 1))
