"""Survey: measure the cells of a grid on several lanes, with resume.

Each cell is appended to a file when it is measured. A later run with the same file measures what is
missing, measures anew where the emulator was late in spite of all tries, and adds repetitions where
chance has left the median uncertain.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from random import Random

from benchmarks.links.grid import Cell
from benchmarks.links.lane import Lane, Sighting
from benchmarks.links.namespaces import end_with_parent
from benchmarks.links.table import Row, fields_of, row_of

#: Repetitions at least: where nothing is left to chance, where it is, and where that takes long.
STEADY, CHANCE, LONG = 3, 9, 5
#: Repetitions go on until the median is known this well, or this many or this much time is spent.
PRECISION, MOST, MOST_MS = 0.05, 25, 100_000.0
#: A transfer whose packets were handed on later than this is repeated, so many times.
LATE_US, TRIES = 500.0, 4
_LONG_MS = 1_000.0

_lane: Lane | None = None


def survey(cells: Sequence[Cell], lanes: int, progress: Path) -> Iterator[Row]:
    """Rows as they are measured, those first that the file has already."""
    before = {row.cell: row for row in _read(progress) if row.late_us <= LATE_US}
    yield from (before[cell] for cell in cells if cell in before and settled(before[cell]))
    missing = [
        (cell, before.get(cell))
        for cell in cells
        if cell not in before or not settled(before[cell])
    ]
    Random(0).shuffle(missing)  # an hour of noise shall not hit one corner of the grid
    if not missing:
        return
    with get_context("fork").Pool(lanes, _open_lane) as pool, progress.open("a") as file:
        for row in pool.imap_unordered(_measure_in_worker, missing):
            file.write(json.dumps(fields_of(row)) + "\n")
            file.flush()
            yield row


def measure(lane: Lane, cell: Cell, before: Row | None = None) -> Row:
    """Repeat the transfer of a cell until its median is known, on from what was measured before."""
    row = before or _once(lane, cell, 0)
    while not settled(row):
        row = row.joined(_once(lane, cell, len(row.transfer_ms)))
    return row


def settled(row: Row) -> bool:
    """Whether there are repetitions enough."""
    count = len(row.transfer_ms)
    if not row.cell.loss and not row.cell.jitter_ms:
        return count >= STEADY
    if count < (CHANCE if row.median_ms < _LONG_MS else LONG):
        return False
    spent = count >= MOST or sum(row.transfer_ms) >= MOST_MS
    return spent or row.uncertainty <= PRECISION


def _once(lane: Lane, cell: Cell, repetition: int) -> Row:
    """One transfer, tried again while the emulator was late; the one with the least delay."""
    seen: list[Sighting] = []
    while len(seen) < TRIES and (not seen or seen[-1].late_us > LATE_US):
        seen.append(
            lane.transfer(
                cell.forth,
                cell.back,
                cell.size,
                cell.streams,
                cell.congestion_control,
                cell.seed(repetition),
            )
        )
    best = min(seen, key=lambda one: one.late_us)
    return Row(
        cell,
        (best.transfer_ms,),
        best.connect_ms,
        best.late_us,
        best.forth.lost,
        best.forth.overflowed,
    )


def _measure_in_worker(task: tuple[Cell, Row | None]) -> Row:
    assert _lane is not None, "the pool opens a lane in each process"
    return measure(_lane, *task)


def _open_lane() -> None:
    global _lane
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool
    _lane = Lane().__enter__()


def _read(progress: Path) -> list[Row]:
    progress.parent.mkdir(parents=True, exist_ok=True)
    if not progress.exists():
        return []
    return [row_of(json.loads(line)) for line in progress.read_text().splitlines()]
