"""Catalogue: all kinds of sources by class of payload, and what this machine lacks for them."""

from __future__ import annotations

from collections.abc import Mapping

from gress_ml.dwcp.corpus import archive, database, disk, files, logs, media, memory
from gress_ml.dwcp.corpus.wish import Kind
from gress_ml.dwcp.payloads import PAYLOAD_TYPES

KINDS: tuple[Kind, ...] = (
    *memory.KINDS,
    *disk.KINDS,
    *database.KINDS,
    *logs.KINDS,
    *files.KINDS,
    *archive.KINDS,
    *media.KINDS,
)


def kinds_here() -> tuple[Mapping[str, tuple[Kind, ...]], Mapping[str, str]]:
    """The kinds that this machine can make, by class; and of the others what they lack."""
    lacking = {f"{kind.payload_class}/{kind.name}": kind.missing() for kind in KINDS}
    lacking = {name: why for name, why in lacking.items() if why}
    able = {
        payload_class: tuple(
            kind
            for kind in KINDS
            if kind.payload_class == payload_class and f"{payload_class}/{kind.name}" not in lacking
        )
        for payload_class in PAYLOAD_TYPES
    }
    return {name: kinds for name, kinds in able.items() if kinds}, lacking
