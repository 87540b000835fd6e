"""Cache: bundles of an object store, copied to this machine once and opened from there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gress_ml.atomic import new_folder
from gress_ml.bundle import MANIFEST
from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.registry.manifest import read_manifest
from gress_ml.registry.safety import Limits, check, refuse_pickle_name
from gress_ml.registry.storage import Storage

_MANIFEST_BYTES = 16 << 20


class Cache:
    """Folders named by the SHA-256 of their manifest, which names all that is in them.

    So whatever was copied is right for any registry that has the same bundle, and what changed in
    the store is another bundle. May be taken away at any time. ``GRESS_CACHE`` says where.
    """

    def __init__(self, storage: Storage, limits: Limits, root: Path | None) -> None:
        self._storage = storage
        self._limits = limits
        self._root = root

    def folder(self, place: str) -> Path:
        """A folder on this machine with the bundle that is at ``place``; its files unchecked.

        Raises ModelCorrupt, StoreUnavailable.
        """
        local = self._storage.local
        if local is not None:
            return _inside(local, local / place)
        manifest = self._manifest(place)
        target = self._ready() / hashlib.sha256(manifest).hexdigest()
        if target.exists() and not self._whole(target):
            shutil.rmtree(target, ignore_errors=True)
        if not target.exists():
            with suppress(FileExistsError), new_folder(target) as folder:
                self._fetch(place, manifest, folder)
        return target

    @contextmanager
    def fresh(self, place: str) -> Iterator[Path]:
        """The same, of files that were read just now."""
        local = self._storage.local
        if local is not None:
            yield _inside(local, local / place)
            return
        with tempfile.TemporaryDirectory() as temporary:
            self._fetch(place, self._manifest(place), Path(temporary))
            yield Path(temporary)

    def _manifest(self, place: str) -> bytes:
        data = self._storage.read(f"{place}/{MANIFEST}", _MANIFEST_BYTES)
        if data is None:
            where = self._storage.where(f"{place}/{MANIFEST}")
            raise ModelCorrupt(f"{where}: expected a file, found none. Publish the bundle again.")
        return data

    def _fetch(self, place: str, manifest: bytes, folder: Path) -> None:
        (folder / MANIFEST).write_bytes(manifest)
        entries = read_manifest(folder, self._limits).files.values()
        self._refuse_others(place, {MANIFEST, *(entry.path for entry in entries)})
        for entry in entries:
            size = min(entry.size, self._limits.max_file_bytes)
            self._storage.fetch(f"{place}/{entry.path}", folder / entry.path, size)

    def _refuse_others(self, place: str, known: set[str]) -> None:
        """No file lies beside those of the manifest, as in a folder."""
        for name in sorted(self._storage.files(place) - known):
            if name.startswith("."):
                continue
            where = self._storage.where(f"{place}/{name}")
            refuse_pickle_name(where)
            raise ModelCorrupt(
                f"{where}: expected only the files of the manifest {sorted(known)}, "
                "found one more. Take it away or publish a new version."
            )

    def _whole(self, folder: Path) -> bool:
        try:
            for entry in read_manifest(folder, self._limits).files.values():
                check(folder, entry, self._limits)
        except ModelError:
            return False
        return True

    def _ready(self) -> Path:
        root = self._root or _default()
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ModelError(
                f"{root}: no folder for copies of models can be made there ({error.strerror}): "
                "name another in GRESS_CACHE."
            ) from error
        return root


def _default() -> Path:
    named = os.environ.get("GRESS_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gress-ml" / "models"


def _inside(root: Path, folder: Path) -> Path:
    if not folder.resolve().is_relative_to(root.resolve()):
        raise ModelCorrupt(f"{folder}: leads out of the registry, to {folder.resolve()}.")
    return folder
