"""Payloads: what kinds of bytes there are, and how bytes change when nothing real changes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PAGE = 4096

#: What the kinds of payload are called in messages.
VM_MEMORY, VM_DISK, DATABASE, LOG = "vm_memory", "vm_disk", "database", "log"
TEXT, SOURCE, BINARY, ARCHIVE, MEDIA = "text", "source", "binary", "archive", "media"
PAYLOAD_TYPES = (VM_MEMORY, VM_DISK, DATABASE, LOG, TEXT, SOURCE, BINARY, ARCHIVE, MEDIA)

#: The endings of files of each kind.
SUFFIXES = {
    VM_MEMORY: (".mem", ".vmem"),
    VM_DISK: (".img", ".qcow2", ".raw", ".vmdk"),
    DATABASE: (".db", ".sqlite", ".sqlite3", ".dump", ".sql"),
    LOG: (".log",),
    TEXT: (
        *(".txt", ".md", ".rst", ".html", ".xml", ".csv", ".svg", ".po"),
        *(".json", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".conf"),
    ),
    SOURCE: (
        ".py",
        ".pyi",
        ".c",
        ".h",
        ".hpp",
        ".cc",
        ".js",
        ".ts",
        ".go",
        ".rs",
        ".pl",
        ".pm",
        ".sh",
    ),
    BINARY: (".so", ".pyc", ".dll", ".exe", ".bin", ".a", ".o"),
    ARCHIVE: (".gz", ".tgz", ".zip", ".zst", ".xz", ".bz2", ".whl", ".jar"),
    MEDIA: (".png", ".jpg", ".jpeg", ".gif", ".webp", ".wav", ".mp3", ".mp4"),
}

_TYPES_BY_SUFFIX = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}


def payload_type_of(path: Path) -> str:
    """The kind of payload that a file is, by its name; ``binary`` when the name says nothing."""
    return next((_TYPES_BY_SUFFIX[s] for s in path.suffixes[-1:] if s in _TYPES_BY_SUFFIX), BINARY)


def mutate(data: bytes, dirty: float, rng: np.random.Generator) -> bytes:
    """The next version: each 4 KiB page is written to with probability ``dirty``.

    A write covers 16 bytes to a whole page; half of the writes copy from elsewhere in the payload,
    half bring new random bytes. The size stays.
    """
    made = bytearray(data)
    pages = max(1, len(data) // PAGE)
    for page in np.flatnonzero(rng.random(pages) < dirty).tolist():
        start = page * PAGE + int(rng.integers(0, PAGE - 16))
        length = min(int(2 ** rng.uniform(4, 12)), len(data) - start)
        if length > 0:
            made[start : start + length] = _written(data, length, rng)
    return bytes(made)


def _written(data: bytes, length: int, rng: np.random.Generator) -> bytes:
    return cut(data, length, rng) if rng.random() < 0.5 else rng.bytes(length)


def cut(source: bytes, size: int, rng: np.random.Generator) -> bytes:
    """``size`` bytes of the source from a random start; a short source is repeated."""
    repeats = -(-size // len(source))
    start = int(rng.integers(0, max(1, len(source) - size + 1)))
    return (source * repeats)[start : start + size] if repeats > 1 else source[start : start + size]
