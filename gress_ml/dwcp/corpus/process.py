"""Process: the memory of a child process of ours, as a virtual machine would hold it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.payloads import PAGE

#: Most of one mapping and of all that is looked at.
MOST_MAPPING, MOST_IMAGE = 24 << 20, 48 << 20

_PRESENT = np.uint64(1 << 63)  # of an entry in pagemap: the page is in memory


@dataclass(slots=True)
class Frames:
    """Pages by address, each in a frame that it keeps for life; a page that is gone reads zero."""

    _frame: dict[int, int] = field(default_factory=dict)

    def image(self, pages: dict[int, bytes]) -> bytes:
        """All frames that were ever used, in the order of first use."""
        for address in pages:
            if address not in self._frame and len(self._frame) < MOST_IMAGE // PAGE:
                self._frame[address] = len(self._frame)
        zero = bytes(PAGE)
        return b"".join(pages.get(address, zero) for address in self._frame)


def resident_pages(pid: int) -> dict[int, bytes]:
    """The readable pages of a process that are in memory, by address. Raises OSError."""
    pages: dict[int, bytes] = {}
    with (
        Path(f"/proc/{pid}/mem").open("rb", 0) as memory,
        Path(f"/proc/{pid}/pagemap").open("rb", 0) as table,
    ):
        for start, end in _mappings(pid):
            for first, last in _runs(_present(table.fileno(), start, end)):
                data = os.pread(memory.fileno(), (last - first) * PAGE, start + first * PAGE)
                for at in range(len(data) // PAGE):
                    page = data[at * PAGE : (at + 1) * PAGE]
                    pages[start + (first + at) * PAGE] = page
    return pages


def _mappings(pid: int) -> list[tuple[int, int]]:
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        start, end = (int(part, 16) for part in fields[0].split("-"))
        # Kernel pages such as [vvar] cannot be read through /proc/pid/mem.
        if fields[1].startswith("r") and "[v" not in line:
            found.append((start, min(end, start + MOST_MAPPING)))
    return found


def _present(table: int, start: int, end: int) -> npt.NDArray[np.bool_]:
    entries = os.pread(table, 8 * ((end - start) // PAGE), 8 * (start // PAGE))
    present: npt.NDArray[np.bool_] = (np.frombuffer(entries, np.uint64) & _PRESENT) != 0
    return present


def _runs(present: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where stretches of true begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(np.int8), [0]])))
    return [(first, last) for first, last in edges.reshape(-1, 2).tolist()]
