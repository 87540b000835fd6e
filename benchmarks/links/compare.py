"""Compare: the model beside what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import mean, median, quantiles

from benchmarks.links.grid import Cell, is_typical
from benchmarks.links.table import Row, Table, read_table
from gress_ml.dwcp.congestion import CongestionControl
from gress_ml.dwcp.fitted import FITTED, Fitted
from gress_ml.dwcp.links import LinkState
from gress_ml.dwcp.transfer_time import transfer_ms


@dataclass(frozen=True, slots=True)
class Error:
    """How far the model is off in one group of cells, as absolute shares of what was measured."""

    name: str
    cells: int
    median: float
    mean: float
    p90: float
    bias: float  # median of the signed errors: above zero where the model is too slow


def model_ms(cell: Cell, fitted: Fitted = FITTED) -> float:
    """What the model says of a cell."""
    link = LinkState(
        link_type="wan",
        tier=3,
        bandwidth_available_mbps=cell.rate_mbps,
        bandwidth_utilization=0.0,
        rtt_ms=cell.rtt_ms,
        jitter_ms=cell.jitter_ms,
        loss=cell.loss,
        congestion_control=CongestionControl(cell.congestion_control),
    )
    return transfer_ms(cell.size, link, cell.streams, fitted)


def error_of(row: Row, fitted: Fitted = FITTED) -> float:
    """The model's relative error in a cell; above zero where it is too slow."""
    return model_ms(row.cell, fitted) / row.median_ms - 1.0


def link_model_median_error(table: Table | None = None) -> float:
    """The median absolute relative error over a table, the stored one unless told otherwise."""
    rows = (table or read_table()).rows
    return median(abs(error_of(row)) for row in rows)


def loss_decides(cell: Cell) -> bool:
    """Whether loss more than the link's rate decides, which is what is hardest to say.

    So it is where a stream is likely to meet loss, on a link that is long or fast.
    """
    packets = cell.size / 1448 / cell.streams
    return cell.loss * packets > 0.5 and cell.rtt_ms >= 10.0 and cell.rate_mbps > 10.0


GROUPS: dict[str, Callable[[Cell], str]] = {
    "all": lambda cell: "all cells",
    "half": lambda cell: "held out" if cell.held_out else "fitted on",
    "typical": lambda cell: "links of the profiles" if is_typical(cell) else "links of the grid",
    "control": lambda cell: cell.congestion_control,
    "streams": lambda cell: f"{cell.streams} stream{'s' if cell.streams > 1 else ''}",
    "size": lambda cell: f"{cell.size >> 10:,} KB",
    "rtt": lambda cell: f"round trip {cell.rtt_ms:g} ms",
    "loss": lambda cell: f"loss {cell.loss:g}",
    "jitter": lambda cell: "with jitter" if cell.jitter_ms else "without jitter",
    "hard": lambda cell: (
        f"{cell.congestion_control}, loss decides" if loss_decides(cell) else "other cells"
    ),
}


def mean_error(rows: Iterable[Row], fitted: Fitted = FITTED) -> float:
    """The mean absolute relative error, which feels what the median does not."""
    return mean(abs(error_of(row, fitted)) for row in rows)


@dataclass(frozen=True, slots=True)
class Gain:
    """How many times as fast four streams are as one, in one kind of transfer."""

    cell: Cell  # of one stream
    measured: float
    modelled: float


def gains(rows: Iterable[Row]) -> list[Gain]:
    """The gain wherever both were measured: what a choice between profiles rests on."""
    found = {row.cell: row for row in rows}
    pairs = [
        (row, found[four])
        for cell, row in found.items()
        if cell.streams == 1 and (four := replace(cell, streams=4)) in found
    ]
    return [
        Gain(
            one.cell,
            measured=one.median_ms / four.median_ms,
            modelled=model_ms(one.cell) / model_ms(four.cell),
        )
        for one, four in pairs
    ]


def errors(rows: Iterable[Row], group: Callable[[Cell], str]) -> list[Error]:
    """The errors of each group, in the order in which groups come."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        found[group(row.cell)].append(error_of(row))
    return [_error(name, values) for name, values in found.items()]


def _error(name: str, values: list[float]) -> Error:
    sizes = [abs(value) for value in values]
    p90 = quantiles(sizes, n=10)[-1] if len(sizes) > 1 else sizes[0]
    return Error(name, len(values), median(sizes), mean(sizes), p90, median(values))
