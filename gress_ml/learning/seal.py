"""Seal: a checksum in front of a state, so that damage is told before anything is made of it.

The allow-list of classes keeps out what must not be made; what only a checksum finds is a state of
the right classes whose values were damaged, and which would fail at some later row.
"""

from __future__ import annotations

import hashlib

from gress_ml.errors import SnapshotError

_BYTES = hashlib.sha256().digest_size


def sealed(state: bytes) -> bytes:
    """The state behind its SHA-256."""
    return hashlib.sha256(state).digest() + state


def unsealed(data: bytes) -> bytes:
    """The state that was sealed. Raises SnapshotError when a byte of it is another."""
    digest, state = data[:_BYTES], data[_BYTES:]
    if hashlib.sha256(state).digest() != digest:
        raise SnapshotError("the state of a learner is damaged: its checksum is another")
    return state
