"""The live view of ``gress demo``: one screen, made anew from the statistics."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gress_ml.cli.demo_stats import DemoStats
from gress_ml.dwcp.agent import Result

_COLOURS = {"hde": "cyan", "amst": "magenta", "none": "yellow"}


def view(stats: DemoStats, now_s: float, pages: str, note: str) -> RenderableType:
    """The screen. ``pages`` is where health and metrics are, ``note`` what Ctrl-C does."""
    top = Table.grid(expand=True, padding=(0, 1))
    top.add_column(ratio=1)
    top.add_column(ratio=1)
    top.add_row(
        Panel(_figures(stats, now_s), title="decisions", border_style="dim"),
        Panel(_shares(stats), title="sent as", border_style="dim"),
    )
    last = Panel(_last(stats), title="last transfers", border_style="dim")
    return Group(top, last, Text(f" metrics and health: {pages}    {note}", style="dim"))


def _figures(stats: DemoStats, now_s: float) -> Table:
    table = _pairs()
    table.add_row("transfers", f"{stats.total:,}" + _failures(stats))
    table.add_row("per second", f"{stats.rate(now_s):.1f}")
    table.add_row("decided in", f"p50 {_ms(stats.latency_ms(50))}, p99 {_ms(stats.latency_ms(99))}")
    saved = 1.0 - stats.sent_bytes / stats.payload_bytes if stats.payload_bytes else 0.0
    table.add_row("bytes", f"{stats.payload_bytes / 1e6:,.1f} MB, {saved:.0%} saved")
    table.add_row("throughput", _gain(stats))
    return table


def _failures(stats: DemoStats) -> str:
    return f", [red]{stats.failed} failed[/red]" if stats.failed else ""


def _gain(stats: DemoStats) -> Text:
    gain, short = stats.gain_over_rules, stats.short_of_best
    if gain is None or short is None:
        return Text("known once one was sent every way", style="dim")
    text = Text(f"{gain:+.1%} over the rules", style="green" if gain >= 0 else "red")
    text.append(f"\n{short:.1%} short of the best of {stats.compared}", style="dim")
    return text


def _shares(stats: DemoStats) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(width=5)
    table.add_column(ratio=1)
    table.add_column(justify="right", width=5)
    for name, colour in _COLOURS.items():
        share = stats.algorithms[name] / stats.total if stats.total else 0.0
        bar = ProgressBar(total=1.0, completed=share, complete_style=colour, finished_style=colour)
        table.add_row(Text(name, style=colour), bar, f"{share:.0%}")
    reasons = ", ".join(f"{name} {count}" for name, count in stats.reasons.most_common(4))
    table.add_row("", Text(reasons, style="dim", overflow="ellipsis", no_wrap=True), "")
    return table


def _last(stats: DemoStats) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    for header in ("payload", "link", "sent as", "reason"):
        table.add_column(header, no_wrap=True)
    for header in ("confidence", "size", "sent", "took"):
        table.add_column(header, no_wrap=True, justify="right")
    for result in stats.last:
        table.add_row(*_row(result))
    return table


def _row(result: Result) -> tuple[RenderableType, ...]:
    transfer, outcome = result.transfer, result.outcome
    used = outcome["actual_algorithm"]
    confidence = "" if result.decision is None else f"{result.decision['confidence']:.2f}"
    return (
        transfer["payload_type"],
        transfer["link_type"],
        Text(used, style=_COLOURS.get(used, "")),
        result.reason,
        confidence,
        _kib(transfer["payload_size"]),
        _kib(outcome["bytes_sent"]),
        Text("failed", style="red") if result.total_ms is None else _ms(result.total_ms),
    )


def _pairs() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f} ms"


def _kib(size: int) -> str:
    return f"{size / 1024:,.0f} KiB"
