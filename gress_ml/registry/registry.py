"""Registry: model bundles in a storage, ``<name>/<version>/``, with their aliases beside them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gress_ml.atomic import new_folder
from gress_ml.bundle import MANIFEST, Bundle, Manifest
from gress_ml.errors import ModelCorrupt, ModelError, ModelNotFound
from gress_ml.registry.cache import Cache
from gress_ml.registry.changes import AliasLog, Change
from gress_ml.registry.manifest import (
    derive_manifest,
    manifest_text,
    read_fingerprint,
    read_json,
    read_manifest,
)
from gress_ml.registry.model_file import ModelFile, bundle_of
from gress_ml.registry.publish import publish
from gress_ml.registry.safety import Limits, check, inside, refuse_pickle
from gress_ml.registry.storage import Folder, Storage
from gress_ml.registry.version import Version

LATEST = "latest"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of one model, and the aliases that point to it."""

    name: str
    version: Version
    aliases: tuple[str, ...] = ()
    where: str = ""  # for people


class Registry:
    """A ``ModelStore`` on a folder or a storage. A published version never changes; aliases move.

    Bundles of a folder are opened in place; those of an object store are copied to this machine
    once, into the cache. Either way every checksum is held against the manifest before use.

    ``files`` are model files outside the folder (the ml block's ``models:``). A file that is the
    only or newest one of its name answers to ``champion`` when no alias says otherwise.
    """

    def __init__(
        self,
        root: Path | Storage,
        files: Sequence[ModelFile] = (),
        limits: Limits | None = None,
        cache: Path | None = None,
    ) -> None:
        self._storage = Folder(root) if isinstance(root, Path) else root
        self._limits = limits or Limits()
        self._cache = Cache(self._storage, self._limits, cache)
        self._files: dict[str, dict[Version, ModelFile]] = {}
        for file in files:
            self._add_file(file)

    # --- reading ----------------------------------------------------------------------------------

    def find(self, name: str, reference: str = "champion") -> Bundle:
        """The bundle of a version, an alias or ``latest``; every checksum held just now."""
        version = self.resolve(name, reference)
        file = self._files.get(name, {}).get(version)
        return self._open_version(name, version) if file is None else bundle_of(file, self._limits)

    def open_folder(self, folder: Path) -> Bundle:
        """The bundle in a folder outside the registry, with a manifest or without one."""
        if not folder.is_dir():
            raise ModelNotFound(f"{folder}: expected a folder with a model bundle, found none.")
        if (folder / MANIFEST).exists():
            return self._checked(folder, read_manifest(folder, self._limits))
        name, version = _identity(folder)
        return Bundle(folder, derive_manifest(folder, name, version, self._limits, strict=False))

    def resolve(self, name: str, reference: str = "champion") -> Version:
        """The version that a reference means now. Raises ModelNotFound, StoreUnavailable."""
        versions = self.versions(name)
        if not versions:
            raise ModelNotFound(
                f"no model {name!r} in {self._storage}: there are {self.names() or 'none'}."
            )
        if reference == LATEST:
            return max(versions, key=lambda version: (not version.is_prerelease, version))
        version = self._aliased(name, reference) or _version(reference)
        if version in versions:
            return version
        raise ModelNotFound(
            f"model {name!r} has no version or alias {reference!r}: it has versions "
            f"{[str(v) for v in versions]} and aliases {sorted(self.aliases(name)) or 'none'}. "
            f"Set an alias with `gress models alias {name} {reference} VERSION`."
        )

    def names(self) -> list[str]:
        """The names of all models, sorted."""
        found = (path.partition("/")[0] for path in self._storage.files() if _published(path, 3))
        return sorted({*self._files, *(name for name in found if _NAME.fullmatch(name))})

    def versions(self, name: str) -> list[Version]:
        """The versions of a model, oldest first; empty when there is no such model."""
        _require_name(name)
        found = {p.partition("/")[0] for p in self._storage.files(name) if _published(p, 2)}
        versions = {version for text in found if (version := _version(text)) is not None}
        whole = {version for version in versions if str(version) in found}
        files = set(self._files.get(name, {}))
        if twice := sorted(whole & files):
            raise ModelError(f"model {name} {twice[0]} is declared twice: as a file and published.")
        return sorted(whole | files)

    def aliases(self, name: str) -> Mapping[str, Version]:
        """The aliases of a model. Raises ModelCorrupt, StoreUnavailable."""
        _require_name(name)
        return AliasLog(self._storage, name).current()

    def history(self, name: str) -> list[Change]:
        """How the aliases of a model moved, oldest first. Raises ModelNotFound."""
        self.resolve(name, LATEST)
        return AliasLog(self._storage, name).history()

    def entries(self, name: str | None = None) -> list[Entry]:
        """All versions of one model, or of all."""
        return [
            Entry(
                model,
                version,
                tuple(a for a, v in sorted(self.aliases(model).items()) if v == version),
                self._where(model, version),
            )
            for model in ([name] if name else self.names())
            for version in self.versions(model)
        ]

    def entry(self, name: str, reference: str) -> Entry:
        """The version that a reference means now. Raises ModelNotFound."""
        version = self.resolve(name, reference)
        return next(entry for entry in self.entries(name) if entry.version == version)

    def verify(self, name: str | None = None) -> Mapping[tuple[str, Version], str]:
        """What is wrong, per model and version; empty when all bundles are whole.

        Of an object store every file is read anew.
        """
        faults: dict[tuple[str, Version], str] = {}
        for entry in self.entries(name):
            try:
                self._verify(entry.name, entry.version)
            except ModelError as error:
                faults[entry.name, entry.version] = str(error)
        return faults

    def pull(self, name: str, reference: str, target: Path) -> Bundle:
        """Copy a bundle to a new folder, there in whole or not at all. Raises ModelError."""
        bundle = self.find(name, reference)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with new_folder(target) as folder:
                for entry in bundle.manifest.files.values():
                    shutil.copyfile(bundle.folder / entry.path, folder / entry.path)
                (folder / MANIFEST).write_text(manifest_text(bundle.manifest))
                self._checked(folder, bundle.manifest)
        except FileExistsError as error:
            raise ModelError(f"{target} is there already: name a new folder.") from error
        return Bundle(target, bundle.manifest)

    # --- writing ----------------------------------------------------------------------------------

    def push(
        self,
        source: Path | Sequence[Path],
        name: str,
        version: str,
        *,
        created: str = "",
        scores: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        training_reference: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> Bundle:
        """Publish files as a new version: there in whole or not at all, never over an old one.

        ``source`` is a folder of the usual files, or the files. What is not given here comes from
        the folder's manifest when it has one. Raises ModelCorrupt, ModelError.
        """
        _require_name(name)
        said = self._said(source)
        given = {
            "created": created or said.get("created", ""),
            "scores": dict(scores or said.get("scores", {})),
            "tags": dict(tags or said.get("tags", {})),
            "training_reference": dict(training_reference or said.get("training_reference", {})),
            "weights": dict(weights or said.get("weights", {})),
        }
        parsed = _version(version)
        if parsed is None:
            raise ModelError(f"{version!r} is not a version: expected something like 1.2.0.")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            self._copy(source, folder)
            manifest = derive_manifest(folder, name, str(parsed), self._limits)
            manifest = manifest.model_copy(update=given)
            publish(self._storage, f"{name}/{parsed}", folder, manifest)
        return self._open_version(name, parsed)

    def alias(self, name: str, alias: str, reference: str) -> Version:
        """Point an alias at a version (or at what another alias means), in one step."""
        if not _ALIAS.fullmatch(alias) or alias == LATEST or _version(alias):
            raise ModelError(
                f"{alias!r} cannot be an alias: expected a word such as 'champion' "
                f"that is neither a version nor {LATEST!r}."
            )
        version = self.resolve(name, reference)
        AliasLog(self._storage, name).point(alias, version)
        return version

    def rollback(self, name: str, alias: str = "champion", to: str = "") -> Version:
        """Point an alias back: at the version before, or at an older one. Raises ModelNotFound."""
        log = AliasLog(self._storage, name)
        target = to or (log.before(alias) if self.versions(name) else None)
        if target is None:
            self.resolve(name, alias)  # says what there is when there is no such model or alias
            raise ModelNotFound(
                f"{name}@{alias} has no version before the present one: name one with --to."
            )
        version = self.resolve(name, target)
        log.point(alias, version, rollback=True)
        return version

    # --- inner parts ------------------------------------------------------------------------------

    def _add_file(self, file: ModelFile) -> None:
        _require_name(file.name)
        version = _version(file.version)
        if version is None:
            raise ModelError(f"model {file.name}: {file.version!r} is not a version.")
        versions = self._files.setdefault(file.name, {})
        if version in versions:
            raise ModelError(f"model {file.name} {version} is declared twice.")
        versions[version] = file

    def _aliased(self, name: str, reference: str) -> Version | None:
        version = self.aliases(name).get(reference)
        if version is None and reference == "champion" and name in self._files:
            return max(self._files[name])
        return version

    def _where(self, name: str, version: Version) -> str:
        file = self._files.get(name, {}).get(version)
        return self._storage.where(f"{name}/{version}") if file is None else str(file.path)

    def _open_version(self, name: str, version: Version) -> Bundle:
        place = f"{name}/{version}"
        try:
            return self._opened(self._cache.folder(place), name, version)
        except ModelCorrupt as error:
            if self._storage.local is not None:
                raise
            raise ModelCorrupt(f"{self._storage.where(place)}, copied here: {error}") from error

    def _verify(self, name: str, version: Version) -> None:
        file = self._files.get(name, {}).get(version)
        if file is not None:
            bundle_of(file, self._limits)
            return
        with self._cache.fresh(f"{name}/{version}") as folder:
            self._opened(folder, name, version)

    def _opened(self, folder: Path, name: str, version: Version) -> Bundle:
        bundle = self._checked(folder, read_manifest(folder, self._limits))
        if (bundle.name, bundle.version) != (name, str(version)):
            raise ModelCorrupt(
                f"{folder / MANIFEST}: expected {name} {version}, "
                f"found {bundle.name} {bundle.version}: the folder was renamed or copied."
            )
        return bundle

    def _checked(self, folder: Path, manifest: Manifest) -> Bundle:
        """The bundle, once every file is what the manifest says and no other file lies beside."""
        for entry in manifest.files.values():
            check(folder, entry, self._limits)
        known = {MANIFEST, *(entry.path for entry in manifest.files.values())}
        for path in sorted(folder.iterdir()):
            if path.name not in known and not path.name.startswith("."):
                refuse_pickle(path)
                raise ModelCorrupt(
                    f"{path}: expected only the files of the manifest {sorted(known)}, "
                    "found one more. Take it away or publish a new version."
                )
        found = read_fingerprint(folder, manifest.files)
        if found != manifest.feature_fingerprint:
            raise ModelCorrupt(
                f"{folder}: expected features of fingerprint {manifest.feature_fingerprint!r}, as "
                f"the manifest says; found {found!r} from its feature schema. Publish it again."
            )
        return Bundle(folder, manifest)

    def _said(self, source: Path | Sequence[Path]) -> dict[str, Any]:
        if not isinstance(source, Path) or not (source / MANIFEST).exists():
            return {}
        return self.open_folder(source).manifest.model_dump()

    def _copy(self, source: Path | Sequence[Path], folder: Path) -> None:
        for path in _sources(source):
            inside(path.parent, path, self._limits)
            shutil.copyfile(path, folder / path.name)


def _identity(folder: Path) -> tuple[str, str]:
    """Name and version of a folder without a manifest: its ``metadata.json`` may say them."""
    path = folder / "metadata.json"
    said = read_json(path) if path.exists() else {}
    name, version = str(said.get("name", "")), _version(str(said.get("version", "")))
    return name if _NAME.fullmatch(name) else folder.resolve().name, str(version or "0.0.0")


def _sources(source: Path | Sequence[Path]) -> list[Path]:
    if not isinstance(source, Path):
        return [*source]
    if not source.is_dir():
        raise ModelNotFound(f"{source}: expected a folder with model files, found none.")
    names = (path for path in sorted(source.iterdir()) if not path.name.startswith("."))
    return [path for path in names if path.name != MANIFEST]


def _published(path: str, depth: int) -> bool:
    """Whether a file is the manifest of a version, ``depth`` parts down."""
    parts = path.split("/")
    return len(parts) == depth and parts[-1] == MANIFEST


def _version(text: str) -> Version | None:
    try:
        return Version.parse(text)
    except ValueError:
        return None


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} cannot be a model's name: expected letters, digits, dot, dash, underscore."
        )
