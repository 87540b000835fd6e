"""WallClock: the time of day of a process jumps; its monotonic clock does not, as in real life.

The law: every ``time.time`` and ``time.time_ns`` in the process and in those that it starts is
shifted, in our code and in libraries alike, from the moment of the jump on. Not shifted are
``datetime.now``, which asks the system in C, and the times of files, which the kernel sets.

The product knows nothing of it, and no package is needed: Python itself loads the shift at its
start (``shifted_clock/sitecustomize.py``). The shift lies in a file that is mapped into memory,
so that a jump needs no signal and asking for the time stays cheap.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

_SHIM = Path(__file__).with_name("shifted_clock")


class WallClock:
    """Of all processes that are started with ``environment``; the shift is kept in ``file``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._file.write_bytes(bytes(8))

    @property
    def environment(self) -> Mapping[str, str]:
        """What to add to the environment of a process."""
        paths = (str(_SHIM), os.environ.get("PYTHONPATH", ""))
        return {
            "CHAOS_WALL_CLOCK": str(self._file.absolute()),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    @property
    def shift_s(self) -> float:
        """How far the clock is ahead; behind, where below zero."""
        (shift_ns,) = struct.unpack("=q", self._file.read_bytes())
        return float(shift_ns / 1e9)

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back, from where it stands."""
        self._set(self.shift_s + seconds)

    def heal(self) -> None:
        """Set it right, which is a jump as well."""
        self._set(0.0)

    def _set(self, shift_s: float) -> None:
        with self._file.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", round(shift_s * 1e9)))
