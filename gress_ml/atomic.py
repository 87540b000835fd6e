"""Atomic writes: a reader sees the old or the new, never a half, even after a kill or power cut."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INCOMING = ".incoming-"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock: one writer at a time, across processes. A dead holder frees it."""
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def replace_file(path: Path, data: bytes) -> None:
    """Write the whole file or nothing."""
    handle, temporary = tempfile.mkstemp(prefix=INCOMING, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill, which becomes ``target`` in one step when the block ends well.

    Raises FileExistsError when ``target`` is there already: nothing is ever overwritten. Hold
    the lock of the parent meanwhile.
    """
    _sweep(target.parent)
    if target.exists():
        raise FileExistsError(target)
    temporary = Path(tempfile.mkdtemp(prefix=INCOMING, dir=target.parent))
    try:
        yield temporary
        for path in temporary.iterdir():
            sync(path)
        sync(temporary)
        temporary.chmod(0o755)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(target.parent)


def sync(path: Path) -> None:
    """Ask the disk to keep a file, or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Take away what a killed writer left half done."""
    for path in folder.glob(INCOMING + "*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
