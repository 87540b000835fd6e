"""Protocols of the outside systems. Each has a memory adapter that is real, shipped code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gress_ml.bundle import Bundle, Publication

Float32 = npt.NDArray[np.float32]


class Clock(Protocol):
    """Time is asked for, never read."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class FeatureStore(Protocol):
    """Rows of float32 by key. One command per batch. Raises StoreUnavailable."""

    async def fetch(self, table: str, fields: tuple[str, ...], keys: Sequence[bytes]) -> Float32:
        """Rows of shape (len(keys), len(fields)); NaN where there is no row."""
        ...

    async def put(
        self, table: str, fields: tuple[str, ...], keys: Sequence[bytes], rows: Float32
    ) -> None:
        """Store the rows under their keys for the store's TTL."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class ModelStore(Protocol):
    """Model bundles by name and version. Raises ModelNotFound, ModelCorrupt, StoreUnavailable."""

    def find(self, name: str, reference: str = "champion") -> Bundle:
        """The bundle for a version (``1.2.0``, ``v1.2``), an alias (``champion``) or ``latest``."""
        ...

    def open_folder(self, folder: Path) -> Bundle:
        """The bundle that lies in a folder outside the registry."""
        ...


class Published(StrEnum):
    """What came of a publication."""

    PUBLISHED = "published"
    PRESENT = "present"  # an earlier run published this version
    WORSE = "worse"  # than its rival


class ModelPublisher(Protocol):
    """Takes new versions of models. To publish a version again changes nothing."""

    def publish(self, wanted: Publication, created: str) -> Published:
        """Publish, unless its rival is better. ``created`` is RFC 3339.

        Raises ModelError, StoreUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class SavedState:
    """State of all steps of one partition: it includes every record before ``offset``.

    ``label`` is the name and version of a learner in it, as ``fraud-1``; empty when there is none.
    """

    offset: int
    steps: Mapping[str, tuple[int, bytes]]  # step name -> (layout version, data)
    label: str = ""


class SnapshotStore(Protocol):
    """Keeps the last few snapshots of each partition. Raises StoreUnavailable."""

    async def save(self, topology: str, topic: str, partition: int, state: SavedState) -> None:
        """Keep the state; it is there in whole or not at all."""
        ...

    async def offsets(self, topology: str, topic: str, partition: int) -> Sequence[int]:
        """The offsets of the snapshots that are kept, newest first; some may not be readable."""
        ...

    async def load(self, topology: str, topic: str, partition: int, offset: int) -> SavedState:
        """The snapshot of an offset. Raises SnapshotError when it is damaged, foreign or gone."""
        ...
