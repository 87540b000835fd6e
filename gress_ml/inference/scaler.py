"""Scaler: feature standardisation as in ``feature_scaler.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.errors import ModelCorrupt


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """``(x - mean) / scale`` per feature, in float32."""

    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    @classmethod
    def read(cls, path: Path) -> Scaler:
        """From ``{"mean": […], "scale": […]}``. Raises ModelCorrupt."""
        try:
            data = json.loads(path.read_bytes())
            with np.errstate(over="ignore"):  # refused below: it becomes infinite
                scaler = cls(_float32(data["mean"]), _float32(data["scale"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ModelCorrupt(
                f'{path}: expected {{"mean": […], "scale": […]}}, found a fault: {error!r}.'
            ) from error
        if scaler.mean.ndim != 1 or scaler.mean.shape != scaler.scale.shape:
            raise ModelCorrupt(
                f"{path}: expected as many means as scales, "
                f"found {scaler.mean.shape} and {scaler.scale.shape}."
            )
        if not (np.isfinite(scaler.mean).all() and np.isfinite(scaler.scale).all()):
            raise ModelCorrupt(f"{path}: expected finite numbers, found NaN or infinity.")
        if not (scaler.scale > 0).all():
            raise ModelCorrupt(f"{path}: expected scales above 0, found {scaler.scale.min()}.")
        return scaler

    def __call__(self, matrix: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """A new matrix of standardised features; infinite where float32 is too small for one."""
        with np.errstate(over="ignore"):
            scaled = matrix.astype(np.float32, copy=False) - self.mean
            scaled /= self.scale
        return scaled


def _float32(numbers: Any) -> npt.NDArray[np.float32]:
    return np.array(numbers, np.float64).astype(np.float32)
