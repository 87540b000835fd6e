"""Report: medians, ratios and targets as tables, and ``build/bench.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.latency import RATE, Delay
from benchmarks.one_decision import Call
from benchmarks.same_decisions import Agreement
from benchmarks.throughput import Pace

Results = dict[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """All that one run measured, repetition by repetition, by the name of the contender."""

    paces: Mapping[str, Sequence[Pace]]
    delays: Mapping[str, Sequence[Delay]]
    call: Call
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be. A target is reported, never asserted: machines differ."""

    name: str
    value: Callable[[Results], float]
    bound: float
    unit: str = ""
    at_least: bool = False

    def reached(self, results: Results) -> bool:
        value = self.value(results)
        return value >= self.bound if self.at_least else value <= self.bound


TARGETS = (
    Target(
        "throughput against the bare loop",
        lambda r: r["throughput_gress"] / r["throughput_bare"],
        0.85,
        "x",
        at_least=True,
    ),
    Target(
        "throughput against stock Faust",
        lambda r: r["throughput_gress"] / r["throughput_faust_stock"],
        20,
        "x",
        at_least=True,
    ),
    Target("throughput", lambda r: r["throughput_gress"], 70_000, "/s", at_least=True),
    Target("p99 at 10,000/s", lambda r: r["latency_p99_ms_10k"], 20, "ms"),
    Target(
        "p50 at 10,000/s against the bare loop",
        lambda r: r["latency_p50_ms_10k"] / r["bare_latency_p50_ms_10k"],
        1.5,
        "x",
    ),
    Target("one decision, p99", lambda r: r["decision_p99_us"], 300, "µs"),
    Target("memory of a worker", lambda r: r["worker_rss_mb"], 400, "MB"),
    Target("start to first decision", lambda r: r["start_to_first_decision_s"], 5, "s"),
)


def results_of(measured: Measured, gress: str, bare: str, stock: str) -> Results:
    """The figures of ``bench.json``: medians over the repetitions."""
    paces, delays = measured.paces, measured.delays
    return {
        "throughput_gress": median(pace.events_per_s for pace in paces[gress]),
        "throughput_bare": median(pace.events_per_s for pace in paces[bare]),
        "throughput_faust_stock": median(pace.events_per_s for pace in paces[stock]),
        "latency_p50_ms_10k": median(delay.p50_ms for delay in delays[gress]),
        "latency_p99_ms_10k": median(delay.p99_ms for delay in delays[gress]),
        "bare_latency_p50_ms_10k": median(delay.p50_ms for delay in delays[bare]),
        "bare_latency_p99_ms_10k": median(delay.p99_ms for delay in delays[bare]),
        "decision_p99_us": measured.call.p99_us,
        "worker_rss_mb": median(pace.rss_mb for pace in paces[gress]),
        "start_to_first_decision_s": median(pace.start_s for pace in paces[gress]),
    }


def write_results(results: Results, path: Path) -> None:
    """As a flat JSON object of numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = {name: float(f"{value:.4g}") for name, value in results.items()}
    path.write_bytes(orjson.dumps(rounded, option=orjson.OPT_INDENT_2) + b"\n")


# --- on the screen --------------------------------------------------------------------------------


def show_machine(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    table = Table(title="machine", show_header=False)
    for name, value in facts:
        table.add_row(name, value)
    console.print(table)


def show_measured(console: Console, measured: Measured, reference: str) -> None:
    """Each contender's medians, with the least and the most of its repetitions."""
    console.print(_throughput_table(measured.paces, reference))
    console.print(_latency_table(measured.delays, reference))
    call, same = measured.call, measured.agreement
    console.print(
        f"one decision in process: p50 {call.p50_us:.0f} µs, p99 {call.p99_us:.0f} µs\n"
        f"decisions of gress and the bare loop: {same.compared} compared, "
        f"{same.different} different; {same.late} decided by the rules since the model was late"
    )


def show_targets(console: Console, results: Results) -> None:
    table = Table(title="targets")
    for heading in ("", "figure", "measured", "target"):
        table.add_column(heading, justify="right" if heading in ("measured", "target") else "left")
    for target in TARGETS:
        reached = target.reached(results)
        table.add_row(
            "[green]✓[/]" if reached else "[red]✗[/]",
            target.name,
            f"{_number(target.value(results))} {target.unit}",
            f"{'≥' if target.at_least else '≤'} {_number(target.bound)} {target.unit}",
        )
    console.print(table)


def _throughput_table(paces: Mapping[str, Sequence[Pace]], reference: str) -> Table:
    table = Table(title="throughput, one process, 4 partitions, acks=all (median, least – most)")
    table.add_column("contender")
    for heading in ("events/s", "CPU µs per event", f"against {reference}", "MB", "start s"):
        table.add_column(heading, justify="right")
    base = median(pace.events_per_s for pace in paces[reference])
    for name, rows in paces.items():
        speeds = [pace.events_per_s for pace in rows]
        table.add_row(
            name,
            _spread(speeds),
            _spread([pace.cpu_us for pace in rows]),
            f"{median(speeds) / base:.2f} x",
            _number(median(pace.rss_mb for pace in rows)),
            _spread([pace.start_s for pace in rows]),
        )
    return table


def _latency_table(delays: Mapping[str, Sequence[Delay]], reference: str) -> Table:
    table = Table(title=f"latency at {RATE:,} events/s, open loop (median, least – most)")
    table.add_column("contender")
    for heading in ("p50 ms", "p99 ms", f"p50 against {reference}", "not decided"):
        table.add_column(heading, justify="right")
    base = median(delay.p50_ms for delay in delays[reference])
    for name, rows in delays.items():
        middles = [delay.p50_ms for delay in rows]
        table.add_row(
            name,
            _spread(middles),
            _spread([delay.p99_ms for delay in rows]),
            f"{median(middles) / base:.2f} x",
            str(sum(delay.lost for delay in rows)),
        )
    return table


def _spread(values: Sequence[float]) -> str:
    return f"{_number(median(values))} ({_number(min(values))} – {_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
