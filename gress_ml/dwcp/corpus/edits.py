"""Edits: what a person does to a text file between two versions of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_NAME = re.compile(rb"[A-Za-z_]\w{3,}")
_MOST_LINES = 24


def edit(text: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    """The next version: a few places changed, each by one of the three commonest edits.

    A name gets a suffix wherever it stands, lines go, or lines come in from another file.
    """
    lines = text.splitlines(keepends=True)
    for _ in range(1 + int(rng.poisson(2.0))):
        choice = int(rng.integers(3))
        if choice == 0:
            lines = _rename(lines, rng)
        elif choice == 1 and len(lines) > 2 * _MOST_LINES:
            start, count = _place(lines, rng)
            del lines[start : start + count]
        else:
            start, _ = _place(lines, rng)
            lines[start:start] = _some_of(donor, rng)
    return b"".join(lines)


def _rename(lines: list[bytes], rng: np.random.Generator) -> list[bytes]:
    at, _ = _place(lines, rng)
    found = _NAME.search(lines[at]) if lines else None
    if found is None:
        return lines
    old, new = found.group(), found.group() + b"_%d" % rng.integers(2, 10)
    return [line.replace(old, new) for line in lines]


def _some_of(donor: bytes, rng: np.random.Generator) -> list[bytes]:
    lines = donor.splitlines(keepends=True)
    start, count = _place(lines, rng)
    return lines[start : start + count]


def _place(lines: Sequence[bytes], rng: np.random.Generator) -> tuple[int, int]:
    """A line and how many from there."""
    return int(rng.integers(max(1, len(lines)))), int(rng.integers(1, _MOST_LINES + 1))
