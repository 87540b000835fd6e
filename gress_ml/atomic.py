"""Atomic writes: a reader sees the old or the new, never a half, even after a kill or power cut."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INCOMING = ".incoming-"


def replace_file(path: Path, data: bytes) -> None:
    """Write the whole file or nothing."""
    with _incoming(path) as temporary:
        temporary.write_bytes(data)
        _finish(temporary)
        temporary.replace(path)
    sync(path.parent)


def copy_file(source: Path, path: Path) -> None:
    """Write the whole copy of a file or nothing."""
    with _incoming(path) as temporary:
        shutil.copyfile(source, temporary)
        _finish(temporary)
        temporary.replace(path)
    sync(path.parent)


def create_file(path: Path, data: bytes) -> bool:
    """Write the whole file where there is none; False when there is one, which stays."""
    with _incoming(path) as temporary:
        temporary.write_bytes(data)
        _finish(temporary)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
    sync(path.parent)
    return True


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill, which becomes ``target`` in one step when the block ends well.

    Raises FileExistsError when ``target`` is there already: nothing is ever overwritten.
    """
    if target.exists():
        raise FileExistsError(target)
    temporary = Path(tempfile.mkdtemp(prefix=INCOMING, dir=target.parent))
    try:
        yield temporary
        for path in temporary.iterdir():
            sync(path)
        sync(temporary)
        temporary.chmod(0o755)
        try:
            temporary.rename(target)
        except OSError as error:
            if target.exists():  # made meanwhile, by another
                raise FileExistsError(target) from error
            raise
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


@contextmanager
def _incoming(path: Path) -> Iterator[Path]:
    """A new file beside ``path``, gone at the end unless it was moved."""
    handle, name = tempfile.mkstemp(prefix=INCOMING, dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _finish(path: Path) -> None:
    path.chmod(0o644)
    sync(path)
