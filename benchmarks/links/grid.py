"""Grid: the transfers that are measured, and which half of them the model may be fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from hashlib import blake2b
from itertools import product
from typing import Any

from benchmarks.links.emulator import Shape
from gress_ml.dwcp.links import LINKS

RTTS_MS = (1.0, 10.0, 40.0, 80.0)
RATES_MBPS = (10.0, 50.0, 100.0)
LOSSES = (0.0, 1e-4, 1e-3, 5e-3)
SIZES = (16 << 10, 128 << 10, 1 << 20, 8 << 20)
STREAMS = (1, 4)
CONGESTION_CONTROLS = ("cubic", "bbr")
#: Jitter, as a share of the round trip, and a bad last mile are tried on parts of the grid.
JITTER = 0.1
BAD_LOSS = 0.02
#: The fastest link that is emulated: a third of what the emulator forwards.
MOST_MBPS = 300.0

_LEAST_QUEUE_BYTES = 64 * 1500
#: Acknowledgements are small; their direction never overflows.
_BACK_QUEUE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of transfer. ``rtt_ms`` is the mean round trip without queues, jitter included."""

    rtt_ms: float
    rate_mbps: float
    loss: float
    jitter_ms: float
    size: int
    streams: int
    congestion_control: str

    @property
    def forth(self) -> Shape:
        """The direction of the data: one bandwidth-delay product of queue, at least 64 packets."""
        return Shape(
            delay_ms=self.rtt_ms / 2 - self.jitter_ms,
            rate_mbps=self.rate_mbps,
            queue_bytes=max(_LEAST_QUEUE_BYTES, int(self.rate_mbps * self.rtt_ms * 125)),
            loss=self.loss,
            jitter_ms=self.jitter_ms,
        )

    @property
    def back(self) -> Shape:
        """The direction of the acknowledgements."""
        return Shape(self.rtt_ms / 2, self.rate_mbps, _BACK_QUEUE_BYTES)

    @property
    def held_out(self) -> bool:
        """Whether fitting must not look at the cell: one half by hash, and all typical links."""
        if is_typical(self):
            return True
        return bool(blake2b(repr(astuple(self)).encode(), digest_size=1).digest()[0] & 1)

    def seed(self, repetition: int) -> int:
        """A seed of its own for each repetition."""
        text = repr((*astuple(self), repetition)).encode()
        return int.from_bytes(blake2b(text, digest_size=6).digest(), "big")

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def cells() -> list[Cell]:
    """The whole grid."""
    return [
        *_crossed(RTTS_MS, RATES_MBPS, LOSSES, 0.0, SIZES, STREAMS),
        *_crossed(RTTS_MS[1:], (50.0,), (0.0, 1e-3), JITTER, SIZES, STREAMS),
        *_crossed(RTTS_MS[1:], (10.0,), (BAD_LOSS,), 0.0, SIZES[:3], STREAMS),
        *typical_cells(),
    ]


def typical_cells() -> Iterator[Cell]:
    """Transfers over the links of the profiles, as they are on average; none is as fast as `dc`."""
    for kind in (LINKS["metro"], LINKS["wan"], LINKS["edge"]):
        rate = min(kind.capacity_mbps * (1.0 - kind.utilization / 100.0), MOST_MBPS)
        for size, count, name in product(SIZES, STREAMS, CONGESTION_CONTROLS):
            yield Cell(kind.rtt_ms, rate, kind.loss, kind.jitter_ms, size, count, name)


def few_cells() -> list[Cell]:
    """A handful that takes seconds."""
    return list(_crossed((10.0, 40.0), (50.0,), (0.0, 1e-3), 0.0, (128 << 10, 1 << 20), (1,)))


def _crossed(
    rtts_ms: Sequence[float],
    rates_mbps: Sequence[float],
    losses: Sequence[float],
    jitter: float,
    sizes: Sequence[int],
    streams: Sequence[int],
) -> Iterator[Cell]:
    axes = product(rtts_ms, rates_mbps, losses, sizes, streams, CONGESTION_CONTROLS)
    for rtt_ms, rate, loss, size, count, name in axes:
        yield Cell(rtt_ms, rate, loss, jitter * rtt_ms, size, count, name)


def is_typical(cell: Cell) -> bool:
    """Whether the cell is one of :func:`typical_cells`."""
    return cell in _TYPICAL


_TYPICAL = frozenset(typical_cells())
