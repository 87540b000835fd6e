"""Snapshots: damaged files in the folder where the state of a partition lies."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import ClassVar

import msgspec

from fuzz import bytes_mutation
from fuzz.target import Target, require
from gress_ml.adapters.snapshots import _MAGIC as MAGIC
from gress_ml.adapters.snapshots import FolderSnapshots
from gress_ml.errors import SnapshotError
from gress_ml.ports import SavedState

_WHERE = ("fuzz", "topic", 3)
_OLD = SavedState(10, {"step": (1, b"old")})
_NAMES = ("020", "20", "00000000000000000020", "²", "٣", "-1", "1e3", "a", "99999999999999999999")


class Snapshots(Target):
    """One input is the name of a file (without ending), a line feed and its content.

    The content stands alone, and behind a checksum that is right for it; the name is also that of
    a folder.
    """

    name: ClassVar[str] = "snapshots"
    law: ClassVar[str] = "A snapshot loads or is a SnapshotError; the one before it stays whole."

    def __init__(self) -> None:
        self._root = tempfile.TemporaryDirectory()
        self._store = FolderSnapshots(Path(self._root.name), keep=9)
        self._runner = asyncio.Runner()
        self._runner.run(self._store.save(*_WHERE, _OLD))
        (self._old,) = Path(self._root.name).rglob("*.snapshot")

    def __exit__(self, *error: object) -> None:
        self._runner.close()
        self._root.cleanup()

    def seeds(self) -> Sequence[bytes]:
        state = {"step": [1, b"new state"], "other": [2, b""]}
        file = {"topology": "fuzz", "topic": "topic", "partition": 3, "offset": 20, "steps": state}
        payload = msgspec.msgpack.encode(file)
        whole = MAGIC + hashlib.sha256(payload).digest() + payload
        return [name.encode() + b"\n" + c for name in _NAMES for c in (payload, whole)]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        name, _, content = random.choice(pool).partition(b"\n")
        if random.random() < 0.2:
            name = bytes_mutation.mutated(name, random)[:200]
        return name + b"\n" + bytes_mutation.mutated(content, random, pool)

    def check(self, data: bytes) -> str:
        name, _, content = data.partition(b"\n")
        text = name.decode("utf-8", "surrogateescape")
        if "/" in text or "\0" in text or len(name) > 200:
            return "no name of a file"
        path = self._old.with_name(f"{text}.snapshot")
        if path == self._old:
            return "the old one"
        right = MAGIC + hashlib.sha256(content).digest() + content
        return "; ".join(self._found(path, each) for each in (content, right, None))

    def _found(self, path: Path, content: bytes | None) -> str:
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        try:
            offsets = self._runner.run(self._store.offsets(*_WHERE))
            require(_OLD.offset in offsets, "the one before it is listed")
            require(len(offsets) <= 2, "each file is one offset")
            return "; ".join(self._loaded(offset) for offset in offsets if offset != _OLD.offset)
        finally:
            require(self._state(_OLD.offset) == _OLD, "the one before it is whole")
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _loaded(self, offset: int) -> str:
        try:
            state = self._state(offset)
        except SnapshotError as error:
            return str(error).replace(self._root.name, "")
        require(state.offset == offset, "a state is of the offset that was asked for")
        return "loads"

    def _state(self, offset: int) -> SavedState:
        return self._runner.run(self._store.load(*_WHERE, offset))
