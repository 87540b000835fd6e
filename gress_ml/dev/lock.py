"""One process at a time changes the servers of one home folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gress_ml.errors import GressError

# Longer than the slowest honest holder: a first start that downloads Kafka on a slow line.
PATIENCE_S = 600.0


@contextmanager
def home_lock(home: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock of ``home``, which is made if it is missing."""
    descriptor = _acquire(home / "lock", time.monotonic() + patience_s)
    try:
        yield
    finally:
        os.close(descriptor)  # closing releases the lock


def _acquire(path: Path, deadline: float) -> int:
    while time.monotonic() < deadline:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # `down` removed the folder in this instant
            continue
        if _locked(descriptor) and _still_there(descriptor, path):
            return descriptor
        os.close(descriptor)
        time.sleep(0.05)
    raise GressError(
        f"expected the lock {path} to become free; another `gress dev` still works on these "
        "servers: wait for it, or end it and try again"
    )


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(descriptor: int, path: Path) -> bool:
    """False where the former holder removed the file: its lock protects nothing any more."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
