"""RiverFile: a learner's estimator as the file ``model.river`` of a bundle. No pickle."""

from __future__ import annotations

from typing import Any

import msgspec

from gress_ml.errors import SnapshotError
from gress_ml.learning.learner import RIVER
from gress_ml.learning.structure import load

MAGIC = b"gress-river-1\n"
NAME = "model.river"


class RiverFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in the file, in MessagePack behind ``MAGIC``."""

    river: str  # the version that made it: major.minor
    names: tuple[str, ...]  # of the features
    types: tuple[str, ...]  # of the columns they are in; one, ``vector``, where they are in one
    fingerprint: str  # of the feature vector; empty for columns
    missing: str
    classes: tuple[str, ...]  # empty for values
    estimator: bytes  # as ``structure.save`` writes it


_decoder = msgspec.msgpack.Decoder(RiverFile)


def write_river_file(file: RiverFile) -> bytes:
    """The bytes of the file."""
    return MAGIC + msgspec.msgpack.encode(file)


def read_river_file(data: bytes) -> tuple[RiverFile, Any]:
    """What is in the file, and the estimator. Raises SnapshotError."""
    if not data.startswith(MAGIC):
        raise SnapshotError("expected a learner of river in format 1")
    try:
        file = _decoder.decode(data[len(MAGIC) :])
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"not a learner of river: {error}") from error
    if file.river != RIVER:
        raise SnapshotError(f"made with river {file.river}, found river {RIVER}: publish it again")
    return file, load(file.estimator)
