"""Folder: real files cut into payloads, offered again and again as they change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np

from gress_ml.dwcp.payloads import mutate, payload_type_of
from gress_ml.dwcp.transfers import Payload

LEAST_PIECE, MOST_PIECE = 64 << 10, 4 << 20


@dataclass(slots=True)
class Piece:
    """A part of a file: what was read last, its present version, and the one that arrived."""

    path: Path
    start: int
    read: bytes
    version: bytes
    arrived: bytes | None = None

    @property
    def owner(self) -> int:
        """A number that stays the same for the file: which VM it belongs to follows from it."""
        return crc32(str(self.path).encode())


@dataclass(frozen=True, slots=True)
class Offer:
    """A piece in the version that is to be moved now."""

    piece: Piece
    payload: Payload

    def arrived(self) -> None:
        """The receiver has this version from now on: the next one is a delta to it."""
        self.piece.arrived = self.payload.data


@dataclass(slots=True)
class Folder:
    """All files below a folder, in pieces, pass after pass.

    The first pass offers every piece. Later passes offer a piece again when its file has changed;
    with ``changed_share`` above 0 the others are offered too, each 4 KiB page overwritten with that
    probability, as the memory of a running VM is. Seeded. Files that cannot be read are left out.
    """

    root: Path
    piece_bytes: int = 1 << 20
    changed_share: float = 0.0
    seed: int = 17
    _pieces: dict[tuple[Path, int], Piece] = field(default_factory=dict)
    _passes: int = 0

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise ValueError(f"{self.root}: expected a folder with files, found none")
        if not LEAST_PIECE <= self.piece_bytes <= MOST_PIECE:
            raise ValueError(
                f"pieces are {LEAST_PIECE} to {MOST_PIECE} bytes, not {self.piece_bytes}"
            )

    def one_pass(self) -> Iterator[Offer]:
        """What there is to move now. Nothing when no file is new, changed or made to change."""
        rng = np.random.default_rng((self.seed, self._passes))
        self._passes += 1
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield from self._offers(path, rng)

    def _offers(self, path: Path, rng: np.random.Generator) -> Iterator[Offer]:
        try:
            with path.open("rb") as file:
                for start in range(0, path.stat().st_size, self.piece_bytes):
                    data = file.read(self.piece_bytes)
                    piece = self._changed(path, start, data, rng) if data else None
                    if piece is not None:
                        kind = payload_type_of(path)
                        yield Offer(piece, Payload(kind, piece.version, piece.arrived))
        except OSError:
            return

    def _changed(
        self, path: Path, start: int, data: bytes, rng: np.random.Generator
    ) -> Piece | None:
        """The piece in its newest version; None when there is nothing new about it."""
        piece = self._pieces.get((path, start))
        if piece is None:
            piece = self._pieces[path, start] = Piece(path, start, data, data)
        elif piece.read != data:
            piece.read = piece.version = data
        elif self.changed_share:
            piece.version = mutate(piece.version, self.changed_share, rng)
        elif piece.arrived is not None:
            return None
        return piece
