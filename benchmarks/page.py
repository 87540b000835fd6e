"""``python -m benchmarks.page``: ``build/peers.json`` into docs/peers.md, and a picture beside it.

Run it after ``make bench``. Only what stands between the two marks of the page is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.contenders import ROOT
from benchmarks.figures import Figures, Latency, Row
from benchmarks.picture import draw
from benchmarks.report import number, same, shown

FIGURES = ROOT / "build" / "peers.json"
PAGE = ROOT / "docs" / "peers.md"
PICTURE = ROOT / "docs" / "images" / "peers.svg"
BEGIN = "<!-- begin: python -m benchmarks.page -->"
END = "<!-- end: python -m benchmarks.page -->"


def table(figures: Figures) -> str:
    """All figures as Markdown."""
    kind = f"Medians of {figures.repetitions}, of slow contenders of fewer"
    if not figures.full:
        kind = (
            "**From a quick run; those of a full run on a quiet machine replace them.** Where the "
            "load before was high, read the CPU µs: noise hardly touches them. " + kind
        )
    machine = "; ".join(f"{name} {value}" for name, value in figures.machine)
    return "\n\n".join(
        [
            f"{kind}, the least and the most beside them. Machine: {machine}.",
            _lines(
                ("contender", "events/s", "CPU µs per event", "memory, MB", "same decisions"),
                (_throughput(row) for row in figures.rows),
                right=3,
            ),
            _lines(
                ("contender", "events/s sent", "p50 ms", "p99 ms", "not decided"),
                _latencies(figures),
                right=4,
            ),
            _lines(
                ("contender", "version", "settings"),
                ((row.name, row.version, row.settings) for row in figures.rows),
            ),
        ]
    )


def fill(page: str, text: str) -> str:
    """The page with the text between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _throughput(row: Row) -> tuple[str, ...]:
    speed, cost = shown(row.events_per_s), shown(row.cpu_us)
    return row.name, speed, cost, number(row.rss_mb), same(row)


def _latencies(figures: Figures) -> Iterable[tuple[str, ...]]:
    for rate, latency in figures.kafka_alone.items():
        yield _latency("no worker: Kafka alone", rate, latency)
    for row in figures.rows:
        for rate, latency in row.latency.items():
            yield _latency(row.name, rate, latency)


def _latency(name: str, rate: int, latency: Latency) -> tuple[str, ...]:
    return name, f"{rate:,}", shown(latency.p50), shown(latency.p99), str(latency.lost)


def _lines(heads: Sequence[str], rows: Iterable[Sequence[str]], right: int = 0) -> str:
    """A Markdown table; so many columns after the first are set to the right."""
    rule = ["---:" if 1 <= index <= right else "---" for index in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def main(figures_path: Path = FIGURES) -> None:
    figures = msgspec.json.decode(figures_path.read_bytes(), type=Figures)
    PAGE.write_text(fill(PAGE.read_text(), table(figures)))
    PICTURE.write_text(draw(figures))
    print(f"written: {PAGE} and {PICTURE}")


if __name__ == "__main__":
    main()
