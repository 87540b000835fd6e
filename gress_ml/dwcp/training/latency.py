"""Latency: what a call of the finished bundle takes, through the code that serves it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gress_ml.bundle import Bundle
from gress_ml.dwcp.training.table import Float32
from gress_ml.inference import Options, Weights, load_predictor, warm_up

SIZES = (1, 16, 256, 1024)
_CALLS, _BLOCKS = 1000, 7


@dataclass(frozen=True, slots=True)
class Latency:
    """Microseconds of one call on so many rows."""

    rows: int
    p50_us: float  # CPU time
    p99_us: float  # CPU time
    wall_p99_us: float  # with what else the machine did

    @property
    def us_per_row(self) -> float:
        """Of the median call."""
        return self.p50_us / self.rows


def latency(
    bundle: Bundle, trees_share: float, features: Float32, sizes: Sequence[int] = SIZES
) -> list[Latency]:
    """Trees and network together, warm, in one thread; CPU times of it.

    CPU time is what a call takes on an otherwise idle core. Seven blocks of calls are made and the
    median block counts, so that a disturbance of the machine does not speak for the model.
    """
    weights = Weights(trees_share, 1.0 - trees_share)
    predictor = load_predictor(bundle, Options(weights=weights))
    warm_up(predictor, sizes)
    found = []
    for size in sizes:
        calls = max(100, _CALLS // size)
        blocks = [_block(predictor.predict, features, size, calls) for _ in range(_BLOCKS)]
        found.append(Latency(size, *np.median(blocks, axis=0).tolist()))
    return found


def _block(
    predict: Callable[[Float32], Float32], features: Float32, size: int, calls: int
) -> tuple[float, float, float]:
    cpu_us, wall_us = [], []
    for call in range(calls):
        rows = features[np.arange(call * size, call * size + size) % len(features)]
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        predict(rows)
        cpu_us.append((time.thread_time_ns() - cpu) / 1e3)
        wall_us.append((time.perf_counter_ns() - wall) / 1e3)
    p50, p99 = np.percentile(cpu_us, [50, 99]).tolist()
    return p50, p99, float(np.percentile(wall_us, 99))
