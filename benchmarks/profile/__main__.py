"""``python -m benchmarks.profile [ROWS …]``: what each stage costs, as a table in Markdown."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterable

from benchmarks.machine import describe_machine
from benchmarks.profile.flagship import Flagship, make_batches
from benchmarks.profile.stages import STAGES, Cost, costs_of, watch

ROWS = (1, 10, 512, 2048)
_TRANSFERS = 8192  # different ones, so that the trees' branches cannot be learned by heart
_RUNS_OF = 100_000  # rows


def main() -> None:
    """Measure each size of batch, print all beside each other."""
    parser = argparse.ArgumentParser(description="Where the microseconds of a decision go.")
    parser.add_argument("rows", nargs="*", type=int, default=ROWS, help="rows per batch")
    sizes: list[int] = parser.parse_args().rows
    for name, value in describe_machine():
        print(f"{name}: {value}")
    flagship = Flagship()
    probe = watch(flagship)
    found = []
    for rows in sizes:
        batches = make_batches(rows, min(512, _TRANSFERS // rows))
        gc.freeze()  # as the worker does when it opens a partition
        repeat = max(5, _RUNS_OF // (rows * len(batches)) // 4)
        found.append(costs_of(flagship, probe, batches, repeat))
    print("\n".join(["", *_table(sizes, found)]))


def _table(sizes: list[int], found: list[dict[str, Cost]]) -> list[str]:
    """Microseconds per batch and, in brackets, calls of functions."""
    heads = ["1 row: µs (calls)" if rows == 1 else f"{rows:,} rows: µs (calls)" for rows in sizes]
    lines = [_line("stage", heads), "| --- |" + " ---: |" * len(sizes)]
    lines += [_line(stage, [_cell(costs[stage]) for costs in found]) for stage in STAGES]
    wholes = [
        Cost(sum(one.us for one in costs.values()), sum(one.calls for one in costs.values()))
        for costs in found
    ]
    rates = [f"{whole.us / rows:.2f}" for whole, rows in zip(wholes, sizes, strict=True)]
    return [*lines, _line("**whole**", map(_cell, wholes)), _line("**µs per row**", rates)]


def _line(name: str, cells: Iterable[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _cell(cost: Cost) -> str:
    return f"{cost.us:,.1f} ({cost.calls:.0f})"


if __name__ == "__main__":
    main()
