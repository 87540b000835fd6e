"""``python -m benchmarks.links [--quick | --stored] [--lanes N] [--write]``: model and kernel TCP.

Measures the grid over emulated links between network namespaces, and prints the model beside it.
What is measured goes to ``build/links.jsonl`` at once, and a later run takes it up from there,
unless ``--afresh``. ``--write`` stores the table and puts the figures into the documentation; with
``--stored`` only the model's figures are new. Where namespaces cannot be made, the stored table is
compared instead.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from benchmarks.links.compare import link_model_median_error
from benchmarks.links.grid import Cell, cells, few_cells
from benchmarks.links.lane import Lane
from benchmarks.links.namespaces import ROOT, NoNamespacesError, require_namespaces
from benchmarks.links.report import filled, sheets
from benchmarks.links.survey import survey
from benchmarks.links.table import STORED, Row, Table, read_table, sorted_rows, write_table
from benchmarks.machine import describe_machine

PROGRESS = ROOT / "build" / "links.jsonl"
#: The error as a number, for who puts it beside other figures.
FIGURES = ROOT / "build" / "links.json"
PAGE = ROOT / "docs" / "link-model.md"
#: The median error that the model is held to.
MOST_ERROR = 0.15
_MACHINE = ("processor", "memory", "load before", "system", "Python")
_CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")

console = Console(width=None if os.isatty(1) else 160)


def main() -> None:
    """Measure and compare, or say why only the stored table is compared."""
    arguments = _arguments()
    try:
        table = read_table() if arguments.stored else _measured(arguments)
    except NoNamespacesError as error:
        console.print(f"[bold]Nothing is measured here:[/bold] {error}.", highlight=False)
        console.print(f"What follows is the table stored in {STORED.relative_to(ROOT)}.")
        _show(read_table())
        return
    except KeyboardInterrupt:
        console.print("ended; a later run of the whole grid takes up what was measured so far")
        raise SystemExit(130) from None
    _show(table)
    if arguments.write:
        _write(table)


def _measured(arguments: argparse.Namespace) -> Table:
    require_namespaces()
    chosen, left_out = _runnable(few_cells() if arguments.quick else cells())
    if left_out:
        names = ", ".join(sorted(left_out))
        console.print(f"[bold]Without {names}:[/bold] this kernel does not have it.")
    ceiling = _ceiling_mbps()
    console.print(f"the emulator forwards at most {ceiling:.0f} Mbit/s")
    if ceiling < 1.5 * max(cell.rate_mbps for cell in chosen):
        console.print("[bold]That is too near to the fastest link: its times are too long.[/bold]")
    with tempfile.TemporaryDirectory(prefix="gress-links-") as folder:
        progress = Path(folder) / PROGRESS.name if arguments.quick else PROGRESS
        if arguments.afresh:
            progress.unlink(missing_ok=True)
        rows = sorted_rows(_told(survey(chosen, arguments.lanes, progress), len(chosen)))
    machine = [line for line in describe_machine() if line[0] in _MACHINE]
    machine.append(("emulator", f"at most {ceiling:.0f} Mbit/s, {arguments.lanes} links at once"))
    late = sorted(row.late_us for row in rows)
    machine.append(("99 of 100 packets late by", f"at most {late[len(late) // 2]:.0f} µs (median)"))
    machine.append(("in 95 of 100 cells", f"at most {late[len(late) * 95 // 100]:.0f} µs"))
    return Table(tuple(machine), rows)


def _told(rows: Iterable[Row], total: int) -> list[Row]:
    found: list[Row] = []
    for row in rows:
        found.append(row)
        if len(found) % 20 == 0 or len(found) == total:
            late = row.late_us
            console.log(f"{len(found)} of {total} cells; the last one late by {late:.0f} µs")
    return found


def _runnable(chosen: list[Cell]) -> tuple[list[Cell], set[str]]:
    """The cells whose congestion control the kernel has, and the names that it has not."""
    there = _CONTROLS.read_text().split()
    runnable = [cell for cell in chosen if cell.congestion_control in there]
    return runnable, {cell.congestion_control for cell in chosen} - set(there)


def _ceiling_mbps() -> float:
    with Lane() as lane:
        return max(lane.ceiling_mbps() for _ in range(2))


def _show(table: Table) -> None:
    for sheet in sheets(table):
        sheet.show(console)
    error = link_model_median_error(table)
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({"link_model_median_error": error}) + "\n")
    verdict = "PASS" if error <= MOST_ERROR else "FAIL"
    console.print(f"{verdict}: median error {error:.1%}, to be at most {MOST_ERROR:.0%}")


def _write(table: Table) -> None:
    write_table(table)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
    console.print(f"written: {STORED.relative_to(ROOT)} and {PAGE.relative_to(ROOT)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold the link model against kernel TCP.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="a handful of cells, in seconds")
    what.add_argument("--stored", action="store_true", help="measure nothing: the stored table")
    parser.add_argument("--lanes", type=int, default=3, help="links at once (3)")
    parser.add_argument("--afresh", action="store_true", help="forget what is measured already")
    parser.add_argument("--write", action="store_true", help="store the table, fill the page")
    arguments = parser.parse_args()
    if arguments.write and arguments.quick:
        parser.error("--write needs the whole grid: leave out --quick")
    if arguments.lanes < 1:
        parser.error("--lanes: expected at least 1")
    return arguments


if __name__ == "__main__":
    main()
