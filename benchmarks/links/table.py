"""Table: what was measured, one row a cell, and how it is kept in a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.links.grid import Cell

#: The table that the documentation shows and the tests hold the model against.
STORED = Path(__file__).with_name("measured.json")


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured in one cell, once for each repetition."""

    cell: Cell
    transfer_ms: tuple[float, ...]
    connect_ms: float  # mean over repetitions
    late_us: float  # 99th percentile of packets, mean over repetitions
    lost: int  # by chance, over all repetitions
    overflowed: int  # in the queue, over all repetitions

    @property
    def median_ms(self) -> float:
        """What stands for the cell."""
        return median(self.transfer_ms)

    @property
    def uncertainty(self) -> float:
        """The standard error of the median, as a share of it, from the middle half."""
        if len(self.transfer_ms) < 2:
            return inf
        low, _, high = quantiles(self.transfer_ms, n=4, method="inclusive")
        return 0.93 * (high - low) / sqrt(len(self.transfer_ms)) / self.median_ms

    def joined(self, more: Row) -> Row:
        """This row and more repetitions of the same cell."""
        share = len(more.transfer_ms) / (len(self.transfer_ms) + len(more.transfer_ms))
        return Row(
            self.cell,
            self.transfer_ms + more.transfer_ms,
            self.connect_ms + share * (more.connect_ms - self.connect_ms),
            self.late_us + share * (more.late_us - self.late_us),
            self.lost + more.lost,
            self.overflowed + more.overflowed,
        )


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and the machine that they were measured on, as name and value."""

    machine: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]


def read_table(path: Path = STORED) -> Table:
    """The table in the file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = tuple(row_of(fields) for fields in content["rows"])
    return Table(tuple((name, value) for name, value in content["machine"]), rows)


def write_table(table: Table, path: Path = STORED) -> None:
    """Put the table into the file, a line for each row."""
    rows = ",\n".join(json.dumps(fields_of(row)) for row in table.rows)
    machine = json.dumps(table.machine)
    path.write_text(f'{{"machine": {machine},\n"rows": [\n{rows}\n]}}\n', encoding="utf-8")


def fields_of(row: Row) -> dict[str, Any]:
    """A row as JSON has it."""
    return {
        **row.cell.as_dict(),
        "transfer_ms": [round(value, 2) for value in row.transfer_ms],
        "connect_ms": round(row.connect_ms, 2),
        "late_us": round(row.late_us),
        "lost": row.lost,
        "overflowed": row.overflowed,
    }


def row_of(fields: dict[str, Any]) -> Row:
    """The opposite of :func:`fields_of`."""
    seen = {name: fields[name] for name in ("connect_ms", "late_us", "lost", "overflowed")}
    cell = {name: fields[name] for name in Cell.__dataclass_fields__}
    return Row(Cell(**cell), tuple(fields["transfer_ms"]), **seen)


def sorted_rows(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Rows in the order of their cells: by congestion control and streams, then along the link."""
    return tuple(sorted(rows, key=lambda row: _order(row.cell)))


def _order(cell: Cell) -> tuple[float | str, ...]:
    link = (cell.rtt_ms, cell.rate_mbps, cell.jitter_ms, cell.loss)
    return (cell.congestion_control, cell.streams, *link, cell.size)
