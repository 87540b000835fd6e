"""Archives: real files packed by the standard compressors, again after the files changed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import zstandard

from gress_ml.dwcp.corpus.tree import Tree, states_of, tar
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import ARCHIVE, BINARY, SOURCE, TEXT

_RATIO = 4  # bytes before packing per byte after it, about
#: Most bytes that a slow compressor gets.
_MOST_SLOW = 2 << 20
_DAY_ONE = (1980, 1, 1, 0, 0, 0)  # the earliest time that zip knows


def _zip(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _DAY_ONE)
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 1)
    return made.getvalue()


def _tgz(files: Mapping[str, bytes]) -> bytes:
    return gzip.compress(tar(files), 4, mtime=0)


def _txz(files: Mapping[str, bytes]) -> bytes:
    return lzma.compress(tar(files), preset=1)


def _tzst(files: Mapping[str, bytes]) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(tar(files))


def _tbz2(files: Mapping[str, bytes]) -> bytes:
    return bz2.compress(tar(files))


def _packed(pack: Callable[[Mapping[str, bytes]], bytes], wish: Wish) -> Iterator[bytes]:
    kind = str(wish.rng.choice([TEXT, SOURCE, BINARY]))
    size = _RATIO * wish.size
    picked = wish.pool.pick(kind, min(size, _MOST_SLOW) if pack in _SLOW else size, wish.rng)
    yield from states_of(Tree.of(picked, wish.rng), wish.states, pack)


def _found(wish: Wish) -> Iterator[bytes]:
    picked = wish.pool.pick(ARCHIVE, wish.size, wish.rng)
    yield from states_of(Tree.of(picked, wish.rng), wish.states, tar)


_SLOW = (_txz, _tbz2)
_PACKERS = {"zip": _zip, "tgz": _tgz, "txz": _txz, "tzst": _tzst, "tbz2": _tbz2}

KINDS = (
    Kind(ARCHIVE, "found", "archives that the system holds", _found),
    *(
        Kind(ARCHIVE, name, f"files of the system packed as {name}, edited", partial(_packed, pack))
        for name, pack in _PACKERS.items()
    ),
)
