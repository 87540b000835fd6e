"""FolderSnapshots and MemorySnapshots: where the state of partitions is kept."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from gress_ml.atomic import INCOMING, replace_file
from gress_ml.errors import StoreUnavailable
from gress_ml.ports import SavedState

_log = logging.getLogger(__name__)
_MAGIC = b"gress-snapshot-1\n"
_DIGEST_BYTES = 32
_ENDING = ".snapshot"
_NAME = re.compile(rf"[0-9]{{20}}{re.escape(_ENDING)}")
_STALE_NS = 3600 * 10**9


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """What a snapshot file holds, in MessagePack, behind its SHA-256."""

    topology: str
    topic: str
    partition: int
    offset: int
    steps: dict[str, tuple[int, bytes]]


_decoder = msgspec.msgpack.Decoder(_File)


class FolderSnapshots:
    """A ``SnapshotStore`` in a folder: ``<topology>/<topic>/<partition>/<offset>.snapshot``.

    Files are written in one step and carry a checksum; one that is not whole is passed over with
    a warning, and the one before it is used. The ``keep`` last written ones of a partition stay.
    """

    def __init__(self, root: Path, keep: int = 3) -> None:
        self._root = root
        self._keep = keep

    async def save(self, topology: str, topic: str, partition: int, state: SavedState) -> None:
        """Keep the state; it is there in whole or not at all. Raises StoreUnavailable."""
        file = _File(topology, topic, partition, state.offset, dict(state.steps))
        path = self._folder(topology, topic, partition) / f"{state.offset:020d}{_ENDING}"
        try:
            await asyncio.to_thread(self._write, path, _encoded(file))
        except OSError as error:
            raise StoreUnavailable(f"snapshot {path}: {error}") from error

    async def newest(
        self, topology: str, topic: str, partition: int, at_or_before: int
    ) -> SavedState | None:
        """The newest whole snapshot at or before an offset. Raises StoreUnavailable."""
        folder = self._folder(topology, topic, partition)
        try:
            file = await asyncio.to_thread(_newest, folder, at_or_before)
        except OSError as error:
            raise StoreUnavailable(f"snapshots in {folder}: {error}") from error
        if file is None:
            return None
        if (file.topology, file.topic, file.partition) != (topology, topic, partition):
            raise StoreUnavailable(
                f"snapshots in {folder}: expected those of {topology} {topic}-{partition}, found "
                f"{file.topology} {file.topic}-{file.partition}: the folder was renamed or copied"
            )
        return SavedState(file.offset, file.steps)

    def _folder(self, topology: str, topic: str, partition: int) -> Path:
        return self._root / _plain(topology) / _plain(topic) / str(partition)

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
        self._prune(path)

    def _prune(self, written: Path) -> None:
        """Keep the last written ones: by time, not offset, as a replay starts at low offsets."""
        others = {o: p for o, p in _offsets(written.parent).items() if p != written}
        by_age = sorted((p.stat().st_mtime_ns, offset, p) for offset, p in others.items())
        for _, _, old in by_age[: max(0, len(by_age) - self._keep + 1)]:
            old.unlink(missing_ok=True)
        now_ns = written.stat().st_mtime_ns
        for left in written.parent.glob(INCOMING + "*"):  # by a writer that was killed
            if left.stat().st_mtime_ns < now_ns - _STALE_NS:
                left.unlink(missing_ok=True)


class MemorySnapshots:
    """A ``SnapshotStore`` in this process, for tests and for state that may be lost."""

    def __init__(self, keep: int = 3) -> None:
        self._keep = keep
        self._saved: dict[tuple[str, str, int], list[SavedState]] = {}

    async def save(self, topology: str, topic: str, partition: int, state: SavedState) -> None:
        """Keep the state."""
        saved = self._saved.setdefault((topology, topic, partition), [])
        copy = SavedState(state.offset, dict(state.steps))
        others = [other for other in saved if other.offset != state.offset]
        saved[:] = [*others, copy][-self._keep :]

    async def newest(
        self, topology: str, topic: str, partition: int, at_or_before: int
    ) -> SavedState | None:
        """The newest snapshot at or before an offset."""
        saved = self._saved.get((topology, topic, partition), [])
        fitting = [state for state in saved if state.offset <= at_or_before]
        return max(fitting, key=lambda state: state.offset, default=None)


def _plain(name: str) -> str:
    """A name as one part of a path."""
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted


def _encoded(file: _File) -> bytes:
    data = msgspec.msgpack.encode(file)
    return _MAGIC + hashlib.sha256(data).digest() + data


def _newest(folder: Path, at_or_before: int) -> _File | None:
    for offset, path in sorted(_offsets(folder).items(), reverse=True):
        if offset > at_or_before:
            continue
        try:
            return _read(path, offset)
        except FileNotFoundError:
            continue  # another process took it away
        except (ValueError, RecursionError) as error:
            _log.warning("snapshot %s is not used, the one before it is: %s", path, error)
    return None


def _read(path: Path, offset: int) -> _File:
    """The content of a whole file. Raises ValueError."""
    raw = path.read_bytes()
    head = len(_MAGIC) + _DIGEST_BYTES
    if not raw.startswith(_MAGIC):
        raise ValueError("expected a snapshot of format 1")
    if hashlib.sha256(raw[head:]).digest() != raw[len(_MAGIC) : head]:
        raise ValueError(f"its checksum is wrong: truncated or changed ({len(raw)} bytes)")
    file = _decoder.decode(raw[head:])
    if file.offset != offset:
        raise ValueError(f"it is of offset {file.offset}: the file was renamed")
    return file


def _offsets(folder: Path) -> Mapping[int, Path]:
    if not folder.is_dir():
        return {}
    found = (path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file())
    return {int(path.stem): path for path in found}
