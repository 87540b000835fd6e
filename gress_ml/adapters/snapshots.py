"""FolderSnapshots and MemorySnapshots: where the state of partitions is kept."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from gress_ml.atomic import INCOMING, replace_file
from gress_ml.errors import SnapshotError, StoreUnavailable
from gress_ml.ports import SavedState

_MAGIC = b"gress-snapshot-1\n"
_DIGEST_BYTES = 32
_ENDING = ".snapshot"
_SECOND_ENDING = ".ckpt"
_NAME = re.compile(rf"[0-9]{{20}}{re.escape(_ENDING)}")
_STALE_NS = 3600 * 10**9
#: Errors of one file, which stay however often it is read: a folder in its place, no right to read
#: it, a loop of links, a bad sector. All others may be those of the store, and pass.
_OF_THE_FILE = {
    *(errno.ENOENT, errno.EISDIR, errno.EACCES, errno.EPERM),
    *(errno.ELOOP, errno.EIO, errno.EBADMSG, errno.ENODATA),
}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """What a snapshot file holds, in MessagePack, behind its SHA-256."""

    topology: str
    topic: str
    partition: int
    offset: int
    steps: dict[str, tuple[int, bytes]]

    @property
    def whose(self) -> str:
        return f"{self.topology} {self.topic}-{self.partition} at {self.offset}"


_decoder = msgspec.msgpack.Decoder(_File)


class FolderSnapshots:
    """A ``SnapshotStore`` in a folder: ``<topology>/<topic>/<partition>/<offset>.snapshot``.

    Files are written in one step and carry a checksum, and what they are of: one that is cut,
    changed, of another format or of another partition is a SnapshotError and nothing else. The
    ``keep`` last written ones of a partition stay. One with a learner in it has a second name,
    ``<model>-<version>-<YYYYMMDD-HHMMSS>.ckpt`` (UTC), which is a hard link to the same file.
    """

    def __init__(self, root: Path, keep: int = 3) -> None:
        self._root = root
        self._keep = keep

    async def save(self, topology: str, topic: str, partition: int, state: SavedState) -> None:
        """Keep the state; it is there in whole or not at all. Raises StoreUnavailable."""
        file = _File(topology, topic, partition, state.offset, dict(state.steps))
        path = _path(self._folder(topology, topic, partition), state.offset)
        try:
            await asyncio.to_thread(self._write, path, _encoded(file), state.label)
        except OSError as error:
            raise StoreUnavailable(f"snapshot {path}: {error}") from error

    async def offsets(self, topology: str, topic: str, partition: int) -> Sequence[int]:
        """The offsets of a partition's files, newest first. Raises StoreUnavailable."""
        folder = self._folder(topology, topic, partition)
        try:
            return sorted(await asyncio.to_thread(_offsets, folder), reverse=True)
        except OSError as error:
            raise StoreUnavailable(f"snapshots in {folder}: {error}") from error

    async def load(self, topology: str, topic: str, partition: int, offset: int) -> SavedState:
        """The state in a file. Raises SnapshotError, StoreUnavailable."""
        path = _path(self._folder(topology, topic, partition), offset)
        try:
            file = await asyncio.to_thread(_read, path)
        except OSError as error:
            kind = SnapshotError if error.errno in _OF_THE_FILE else StoreUnavailable
            raise kind(f"snapshot {path}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise SnapshotError(f"snapshot {path}: {error}") from error
        wanted = _File(topology, topic, partition, offset, {})
        if file.whose != wanted.whose:
            raise SnapshotError(
                f"snapshot {path}: expected that of {wanted.whose}, found that of {file.whose}: "
                "it was renamed or copied"
            )
        return SavedState(offset, file.steps)

    def _folder(self, topology: str, topic: str, partition: int) -> Path:
        return self._root / _plain(topology) / _plain(topic) / str(partition)

    def _write(self, path: Path, data: bytes, label: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
        if label:
            _name_too(path, label)
        self._prune(path)

    def _prune(self, written: Path) -> None:
        """Keep the last written ones: by time, not offset, as a replay starts at low offsets."""
        files = {o: p for o, p in _offsets(written.parent).items() if p != written and p.is_file()}
        by_age = sorted((p.stat().st_mtime_ns, offset, p) for offset, p in files.items())
        for _, _, old in by_age[: max(0, len(by_age) - self._keep + 1)]:
            old.unlink(missing_ok=True)
        now_ns = written.stat().st_mtime_ns
        for left in written.parent.glob(INCOMING + "*"):  # by a writer that was killed
            if left.stat().st_mtime_ns < now_ns - _STALE_NS:
                left.unlink(missing_ok=True)
        for named in written.parent.glob("*" + _SECOND_ENDING):
            if named.stat().st_nlink == 1:  # its first name is gone
                named.unlink(missing_ok=True)


class MemorySnapshots:
    """A ``SnapshotStore`` in this process, for tests and for state that may be lost."""

    def __init__(self, keep: int = 3) -> None:
        self._keep = keep
        self._saved: dict[tuple[str, str, int], dict[int, SavedState]] = {}

    async def save(self, topology: str, topic: str, partition: int, state: SavedState) -> None:
        """Keep the state."""
        saved = self._saved.setdefault((topology, topic, partition), {})
        saved.pop(state.offset, None)
        saved[state.offset] = SavedState(state.offset, dict(state.steps))
        for old in [*saved][: -self._keep]:
            del saved[old]

    async def offsets(self, topology: str, topic: str, partition: int) -> Sequence[int]:
        """The offsets of a partition's states, newest first."""
        return sorted(self._saved.get((topology, topic, partition), ()), reverse=True)

    async def load(self, topology: str, topic: str, partition: int, offset: int) -> SavedState:
        """The state of an offset. Raises SnapshotError."""
        try:
            return self._saved[topology, topic, partition][offset]
        except KeyError:
            raise SnapshotError(f"there is no snapshot of {topic}-{partition} {offset}") from None


def _plain(name: str) -> str:
    """A name as one part of a path."""
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted


def _path(folder: Path, offset: int) -> Path:
    return folder / f"{offset:020d}{_ENDING}"


def _name_too(path: Path, label: str) -> None:
    """The file's second name, by the second in which it was written; of two the later stays."""
    written = time.strftime("%Y%m%d-%H%M%S", time.gmtime(path.stat().st_mtime))
    named = path.parent / f"{_plain(label)}-{written}{_SECOND_ENDING}"
    temporary = path.parent / f"{INCOMING}{named.name}"
    temporary.unlink(missing_ok=True)
    os.link(path, temporary)
    temporary.replace(named)
    temporary.unlink(missing_ok=True)  # a rename between two names of one file does nothing


def _encoded(file: _File) -> bytes:
    data = msgspec.msgpack.encode(file)
    return _MAGIC + hashlib.sha256(data).digest() + data


def _read(path: Path) -> _File:
    """The content of a whole file. Raises ValueError."""
    raw = path.read_bytes()
    head = len(_MAGIC) + _DIGEST_BYTES
    if not raw.startswith(_MAGIC):
        raise ValueError("expected a snapshot of format 1")
    if hashlib.sha256(raw[head:]).digest() != raw[len(_MAGIC) : head]:
        raise ValueError(f"its checksum is wrong: truncated or changed ({len(raw)} bytes)")
    return _decoder.decode(raw[head:])


def _offsets(folder: Path) -> Mapping[int, Path]:
    """The files of a partition by their offsets. Raises OSError when they cannot be listed."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):  # nothing was saved yet
        return {}
    offsets = [int(Path(name).stem) for name in names if _NAME.fullmatch(name)]
    return {offset: _path(folder, offset) for offset in offsets}
