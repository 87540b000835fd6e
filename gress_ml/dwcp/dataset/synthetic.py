"""Synthetic payloads: quickly made bytes for samples that are measured on the spot."""

from __future__ import annotations

import sysconfig
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gress_ml.dwcp.payloads import ARCHIVE, BINARY, PAGE, TEXT, VM_MEMORY, cut

KINDS = (VM_MEMORY, TEXT, BINARY, ARCHIVE)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Real bytes of two kinds, from which payloads are cut."""

    text: bytes
    binary: bytes

    @classmethod
    def of_this_machine(cls, limit: int = 16 << 20) -> Corpus:
        """The standard library's sources, and the shared libraries of the installed packages."""
        sources = Path(sysconfig.get_path("stdlib")).glob("*.py")
        libraries = Path(sysconfig.get_path("platlib")).glob("*/**/*.so*")
        return cls(_read(sources, limit), _read(libraries, limit))


def _read(paths: Iterable[Path], limit: int) -> bytes:
    kept, size = [], 0
    for path in sorted(paths):
        if size >= limit:
            break
        kept.append(path.read_bytes()[: limit - size])
        size += len(kept[-1])
    if size < PAGE:
        raise ValueError("this machine has too few files to cut payloads from")
    return b"".join(kept)


def generate(kind: str, size: int, corpus: Corpus, rng: np.random.Generator) -> bytes:
    """A payload of a kind, of exactly ``size`` bytes."""
    if kind == TEXT:
        return cut(corpus.text, size, rng)
    if kind == BINARY:
        return cut(corpus.binary, size, rng)
    if kind == ARCHIVE:
        return _archive(size, corpus, rng)
    if kind == VM_MEMORY:
        return _memory(size, corpus, rng)
    raise ValueError(f"no payload type {kind!r}: there are {', '.join(KINDS)}")


def _archive(size: int, corpus: Corpus, rng: np.random.Generator) -> bytes:
    """Compressed already: deflated text, filled up with random bytes (as if encrypted)."""
    packed = zlib.compress(cut(corpus.text, 3 * size, rng), 1)[:size]
    return packed + rng.bytes(size - len(packed))


def _memory(size: int, corpus: Corpus, rng: np.random.Generator) -> bytes:
    """Pages of a VM in runs: zero, heap, text, code, and pages that look random."""
    shares = rng.dirichlet([1.0, 1.5, 1.0, 1.0, 0.7])
    pages: list[bytes] = []
    left = size
    while left > 0:
        length = min(left, PAGE * int(rng.integers(1, 16)))
        pages.append(_run(int(rng.choice(5, p=shares)), length, corpus, rng))
        left -= length
    return b"".join(pages)


def _run(kind: int, length: int, corpus: Corpus, rng: np.random.Generator) -> bytes:
    if kind == 0:
        return bytes(length)
    if kind == 1:
        return _heap(length, rng)
    if kind == 2:
        return cut(corpus.text, length, rng)
    if kind == 3:
        return cut(corpus.binary, length, rng)
    return rng.bytes(length)


def _heap(length: int, rng: np.random.Generator) -> bytes:
    """Objects of 64 bytes: pointers into one region, small counts, zeros."""
    count = -(-length // 64)
    words = np.zeros((count, 8), np.uint64)
    words[:, 0] = 0x7F3A_0000_0000 + rng.integers(0, 64, count, dtype=np.uint64) * 256
    words[:, 1] = rng.integers(1, 8, count, dtype=np.uint64)
    words[:, 2] = 0x7F3A_4000_0000 + rng.integers(0, 1 << 20, count, dtype=np.uint64) * 16
    words[:, 3] = rng.integers(0, 1 << 16, count, dtype=np.uint64)
    return words.tobytes()[:length]


def sizes(rng: np.random.Generator, count: int, least: int, most: int) -> Sequence[int]:
    """Payload sizes between two bounds, as many small ones as large ones (log-uniform)."""
    return [int(2**x) for x in rng.uniform(np.log2(least), np.log2(most), count)]
