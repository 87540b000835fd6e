"""Shifts the wall clock of a Python process; ``clock`` says how and when.

Python imports a module of this name by itself, before everything else, where its folder is on
PYTHONPATH (https://docs.python.org/3/library/site.html#module-sitecustomize).
"""

from __future__ import annotations

import mmap
import os
import struct
import time


def _shift(path: str) -> None:
    with open(path, "rb") as file:
        shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    real_s, real_ns = time.time, time.time_ns

    def now_ns() -> int:
        return real_ns() + int(struct.unpack_from("=q", shared)[0])

    def now_s() -> float:
        return real_s() + float(struct.unpack_from("=q", shared)[0]) / 1e9

    time.time, time.time_ns = now_s, now_ns


if path := os.environ.get("CHAOS_WALL_CLOCK"):
    _shift(path)
