"""Report: figures and targets as tables on the screen, and the files in ``build``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figures, Latency, Row, Spread
from benchmarks.one_decision import Call
from benchmarks.targets import TARGETS, Results


def write_results(results: Results, path: Path) -> None:
    """As a flat JSON object of numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = {name: float(f"{value:.4g}") for name, value in results.items()}
    path.write_bytes(orjson.dumps(rounded, option=orjson.OPT_INDENT_2) + b"\n")


def write_figures(figures: Figures, path: Path) -> None:
    """All of one run, from which ``benchmarks.publish`` makes the page and the picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")


# --- on the screen --------------------------------------------------------------------------------


def show_machine(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    table = Table(title="machine", show_header=False)
    for name, value in facts:
        table.add_row(name, value)
    console.print(table)


def show_figures(console: Console, figures: Figures, call: Call | None) -> None:
    """Each contender's medians, with the least and the most of its repetitions."""
    console.print(_throughput_table(figures))
    console.print(_latency_table(figures))
    console.print(_settings_table(figures.rows))
    if call is not None:
        console.print(
            f"one decision in process: p50 {call.p50_us:.0f} µs, p99 {call.p99_us:.0f} µs"
        )
    for key, why in figures.failures.items():
        console.print(f"[red]not measured: {key}[/]", why, sep="\n")


def show_targets(console: Console, results: Results) -> None:
    table = Table(title="targets")
    for heading in ("", "figure", "measured", "target"):
        table.add_column(heading, justify="right" if heading in ("measured", "target") else "left")
    for target in TARGETS:
        value = target.measured(results)
        table.add_row(
            {True: "[green]PASS[/]", False: "[red]FAIL[/]", None: "–"}[target.reached(results)],
            target.name,
            "not measured" if value is None else f"{number(value)} {target.unit}",
            f"{'≥' if target.at_least else '≤'} {number(target.bound)} {target.unit}",
        )
    console.print(table)


def _throughput_table(figures: Figures) -> Table:
    table = Table(title="throughput, one process, 4 partitions, acks=all (median, least – most)")
    table.add_column("contender")
    for heading in ("events/s", "CPU µs per event", "against bare", "MB", "start s", "same"):
        table.add_column(heading, justify="right")
    bare = figures.row("bare")
    for row in figures.rows:
        speed = row.events_per_s
        table.add_row(
            row.name,
            shown(speed),
            shown(row.cpu_us),
            f"{speed.median / bare.events_per_s.median:.2f} x" if bare else "–",
            number(row.rss_mb),
            number(row.start_s.median),
            same(row),
        )
    return table


def _latency_table(figures: Figures) -> Table:
    table = Table(title="latency, open loop, from when an event was to leave to its decision")
    table.add_column("contender")
    for heading in ("events/s", "p50 ms", "p99 ms", "not decided"):
        table.add_column(heading, justify="right")
    named: list[tuple[str, Mapping[int, Latency]]] = [("no worker: Kafka", figures.kafka_alone)]
    for name, latencies in [*named, *((row.name, row.latency) for row in figures.rows)]:
        for rate, latency in latencies.items():
            delays = shown(latency.p50), shown(latency.p99)
            table.add_row(name, f"{rate:,}", *delays, str(latency.lost))
    return table


def _settings_table(rows: Sequence[Row]) -> Table:
    table = Table(title="settings")
    for heading in ("contender", "version", "settings"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row.name, row.version, row.settings)
    return table


def same(row: Row) -> str:
    """How many decisions were compared with those by hand, and how many were the same."""
    late = f", {row.late:,} late" if row.late else ""
    return f"{row.compared - row.different:,} of {row.compared:,}{late}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def shown(spread: Spread) -> str:
    """The median; with the least and the most where there were several."""
    if spread.least == spread.most:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.least)} – {number(spread.most)})"
