"""Gpu: which devices a model may use. Without them it runs on the CPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """A wish for CUDA devices; calls go to them in turn."""

    device_ids: tuple[int, ...] = (0,)
