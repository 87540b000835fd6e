"""Results: all repetitions of all cases, their medians and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import orjson

from benchmarks.scaling.case import TOLERANCE, Axis
from benchmarks.scaling.coordinator import Upkeep
from benchmarks.scaling.group import Sharing
from benchmarks.scaling.law import Law, fit
from benchmarks.scaling.point import Point


@dataclass(frozen=True, slots=True)
class Level:
    """The repetitions of one case."""

    level: float
    points: Sequence[Point]

    def median(self, figure: str) -> float:
        return float(median(getattr(point, figure) for point in self.points))


@dataclass(frozen=True, slots=True)
class AxisResult:
    """All levels of one axis, the least first."""

    name: str
    levels: Sequence[Level]
    is_constant: bool
    note: str = ""

    @property
    def spread(self) -> float:
        """How far the dearest level lies above the cheapest: 0.1 is 10 %."""
        return max(self._costs) / min(self._costs) - 1

    @property
    def kept(self) -> bool:
        """Whether cost is as constant as it should be; always so where it need not be."""
        return not self.is_constant or self.spread <= TOLERANCE

    @property
    def law(self) -> Law | None:
        """Cost over bytes per event, or over one batch shared by its rows."""
        if self.is_constant:
            return None
        return fit([self.x(level) for level in self.levels], self._costs)

    def x(self, level: Level) -> float:
        """What the law is linear in: bytes, or the share of a batch that one row is."""
        return 1 / level.median("batch") if self.name == "batch size" else level.level

    @property
    def _costs(self) -> list[float]:
        return [level.median("cpu_us") for level in self.levels]


@dataclass(slots=True)
class Results:
    """What a run has measured so far."""

    machine: Sequence[tuple[str, str]]
    axes: list[AxisResult] = field(default_factory=list)
    sharings: Sequence[Sharing] = ()
    upkeep: Sequence[Upkeep] = ()

    def write(self, path: Path) -> None:
        """As JSON: the machine, and all repetitions of each level."""
        path.parent.mkdir(parents=True, exist_ok=True)
        axes = [
            {**asdict(axis), "spread": axis.spread, "law": axis.law and asdict(axis.law)}
            for axis in self.axes
        ]
        body = {**asdict(self), "machine": dict(self.machine), "axes": axes}
        path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")


def result_of(axis: Axis, points: Sequence[Sequence[Point]]) -> AxisResult:
    """``points``: the repetitions of each case, in the order of the axis."""
    levels = [
        Level(case.level, repetitions) for case, repetitions in zip(axis.cases, points, strict=True)
    ]
    return AxisResult(axis.name, levels, axis.is_constant, axis.note)
