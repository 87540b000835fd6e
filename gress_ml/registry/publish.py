"""Publishing: a version is visible from its last write on, which is its manifest."""

from __future__ import annotations

from pathlib import Path

from gress_ml.bundle import MANIFEST, Manifest
from gress_ml.errors import ModelError
from gress_ml.registry.manifest import manifest_text
from gress_ml.registry.storage import Storage

#: Who publishes a version says first which files it will have. It goes when the manifest is there.
CLAIM = ".publishing.json"
_CLAIM_BYTES = 1 << 20


def publish(storage: Storage, place: str, folder: Path, manifest: Manifest) -> None:
    """Put a bundle's files at ``place``, then its manifest. Raises ModelError, StoreUnavailable.

    Only one set of files can be claimed, so two publishers of one version never mix theirs; of two
    with the same files one creates the manifest. A publish that was cut short goes on when it is
    repeated with the same files.
    """
    claim = manifest.model_dump_json(include={"files"}).encode()
    _require_new(storage, place, manifest)
    if not storage.create(f"{place}/{CLAIM}", claim):
        _require_same(storage, place, manifest, claim)
    try:
        # a claim that was free again may mean that the version was published meanwhile
        _require_new(storage, place, manifest)
    except ModelError:
        storage.remove(f"{place}/{CLAIM}")
        raise
    for entry in manifest.files.values():
        storage.put(folder / entry.path, f"{place}/{entry.path}")
    if not storage.create(f"{place}/{MANIFEST}", manifest_text(manifest).encode()):
        raise _published(manifest)
    storage.remove(f"{place}/{CLAIM}")


def _require_new(storage: Storage, place: str, manifest: Manifest) -> None:
    if storage.size(f"{place}/{MANIFEST}") is not None:
        raise _published(manifest)


def _require_same(storage: Storage, place: str, manifest: Manifest, claim: bytes) -> None:
    found = storage.read(f"{place}/{CLAIM}", _CLAIM_BYTES)
    if found is None:  # it went: the other is through
        _require_new(storage, place, manifest)
    elif found != claim:
        raise ModelError(
            f"{manifest.name} {manifest.version} is being published with other files, or that was "
            "cut short: publish under a higher version. When nobody is at it, take "
            f"{storage.where(place)} away and publish again."
        )


def _published(manifest: Manifest) -> ModelError:
    return ModelError(
        f"{manifest.name} {manifest.version} is published already and a version never changes: "
        "push it under a higher version."
    )
