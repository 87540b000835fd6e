"""What a file of a bundle must be before anything reads it: plain, inside, whole, no pickle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gress_ml.bundle import FileEntry
from gress_ml.errors import ModelCorrupt

PICKLE_ENDINGS = frozenset({".pkl", ".pickle", ".joblib"})
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bundle may cost to load."""

    max_file_bytes: int = 512 << 20


def inside(folder: Path, path: Path, limits: Limits) -> Path:
    """``path``, checked: a regular file within ``folder``, not too big. Raises ModelCorrupt.

    A link is followed only when it stays in the folder (as in a mounted Kubernetes ConfigMap).
    """
    try:
        real = path.resolve(strict=True)
        size = real.stat().st_size
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise ModelCorrupt(
            f"{path}: expected a file, found none ({error}). Publish the bundle again."
        ) from error
    if not real.is_relative_to(folder.resolve()):
        raise ModelCorrupt(
            f"{path}: leads out of the bundle, to {real}. "
            f"Put the file itself into {folder} and publish again."
        )
    if not real.is_file():
        raise ModelCorrupt(f"{path}: expected a regular file, found something else.")
    if size > limits.max_file_bytes:
        raise ModelCorrupt(
            f"{path}: expected at most {limits.max_file_bytes} bytes, found {size}. "
            "Make the model smaller or raise the registry's limit."
        )
    return path


def refuse_pickle(path: Path) -> None:
    """Raises ModelCorrupt when the file is a pickle, by its ending or by its first bytes."""
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(8)
    refuse_pickle_name(str(path))
    if is_pickle(head):
        raise _pickle(str(path))


def refuse_pickle_name(where: str) -> None:
    """Raises ModelCorrupt when the ending is that of a pickle."""
    if where.lower().endswith(tuple(PICKLE_ENDINGS)):
        raise _pickle(where)


def _pickle(where: str) -> ModelCorrupt:
    return ModelCorrupt(
        f"{where}: expected ONNX, TFLite or JSON, found a pickle. A pickle can run any code "
        "when it is loaded, so none ever is: export the model to ONNX or TFLite."
    )


def is_pickle(head: bytes) -> bool:
    """Whether these first bytes open a pickle of protocol 2 to 5 (PEP 307, 574).

    A TFLite file may begin with the same two bytes; its identifier stands at byte 4.
    """
    return head[:1] == b"\x80" and 2 <= int.from_bytes(head[1:2]) <= 5 and head[4:8] != b"TFL3"


def entry_of(folder: Path, path: Path, limits: Limits) -> FileEntry:
    """What a manifest says about this file. Raises ModelCorrupt when it is not safe."""
    refuse_pickle(inside(folder, path, limits))
    return FileEntry(path=path.name, sha256=sha256_of(path), size=path.stat().st_size)


def check(folder: Path, entry: FileEntry, limits: Limits) -> None:
    """Raises ModelCorrupt unless the file is there, safe and exactly what the entry says."""
    path = inside(folder, folder / entry.path, limits)
    refuse_pickle(path)
    size = path.stat().st_size
    if size != entry.size:
        raise ModelCorrupt(
            f"{path}: expected {entry.size} bytes, found {size}: the file is "
            f"{'truncated' if size < entry.size else 'not the one published'}. "
            "Copy the bundle again or publish a new version."
        )
    found = sha256_of(path)
    if found != entry.sha256:
        raise ModelCorrupt(
            f"{path}: expected SHA-256 {entry.sha256}, found {found}: the file was changed. "
            "Copy the bundle again or publish a new version."
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
