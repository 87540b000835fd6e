"""Source: payloads cut from the successive states of one real thing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.corpus.pool import Pool
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import PAGE

#: Of the pieces that are cut, the share that begins where the second state differs from the first.
CHANGED_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Version:
    """One payload: a piece of a source in its ``number``-th version, and the version before.

    A piece that did not change is not sent again: it gives no version.
    """

    piece: int
    number: int
    data: bytes
    baseline: bytes | None


@dataclass(slots=True)
class _Piece:
    start: int
    size: int
    sent: bytes | None = None
    versions: int = 0


def versions_of(
    kind: Kind, pool: Pool, seed: Sequence[int], sizes: Sequence[int], states: Sequence[int]
) -> Iterator[Version]:
    """A piece per size, in up to so many versions each; no piece is larger than its size.

    A function of the machine's files and the arguments, but for what programs have in memory and
    the times in logs.
    """
    rng = np.random.default_rng(tuple(seed))
    made = (state for state in kind.make(Wish(pool, rng, max(sizes), max(states))) if state)
    first = next(made, None)
    if first is None:
        return
    second = next(made, None)
    cutter = np.random.default_rng((*seed, 1))
    pieces = [_Piece(_start(first, second, size, cutter), size) for size in sizes]
    for number, state in enumerate(chain([first], [] if second is None else [second], made)):
        for at, piece in enumerate(pieces):
            if number >= states[at]:
                continue
            data = state[piece.start : piece.start + piece.size]
            if data and data != piece.sent:
                yield Version(at, piece.versions, data, piece.sent)
                piece.sent, piece.versions = data, piece.versions + 1


def _start(first: bytes, second: bytes | None, size: int, rng: np.random.Generator) -> int:
    """A page boundary from which there is a whole piece, or the start."""
    later = second or first
    last = (max(len(first), len(later)) - size) // PAGE
    if last <= 0:
        return 0
    changed = _changed_pages(first, later)
    if len(changed) and rng.random() < CHANGED_SHARE:
        page = int(changed[int(rng.integers(len(changed)))])
        start = max(0, page - int(rng.integers(max(1, size // PAGE))))
    else:
        start = int(rng.integers(last + 1))
    return PAGE * min(start, last, len(first) // PAGE)


def _changed_pages(first: bytes, second: bytes) -> npt.NDArray[np.intp]:
    """The pages that differ or that only the second has."""
    pages = min(len(first), len(second)) // PAGE
    before = np.frombuffer(first, np.uint64, pages * PAGE // 8).reshape(pages, PAGE // 8)
    after = np.frombuffer(second, np.uint64, pages * PAGE // 8).reshape(pages, PAGE // 8)
    new = np.arange(pages, len(second) // PAGE)
    return np.concatenate([np.flatnonzero((before != after).any(axis=1)), new])
