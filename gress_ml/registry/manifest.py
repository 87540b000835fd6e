"""Manifests: read from a bundle, or derived from a folder of the usual files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from gress_ml.bundle import MANIFEST, FileEntry, Manifest, Role
from gress_ml.errors import ModelCorrupt, SchemaError
from gress_ml.features import FeatureSet
from gress_ml.registry.safety import Limits, entry_of, inside, refuse_pickle

#: What each file of a bundle is for, by its usual name.
ROLES: Mapping[str, Role] = {
    "xgboost_model.json": "trees_source",
    "trees.onnx": "trees",
    "neural_network.tflite": "network",
    "neural_network.onnx": "network",
    "model.onnx": "model",
    "model.tflite": "model",
    "model.river": "model",
    "feature_schema.json": "feature_schema",
    "feature_scaler.json": "scaler",
    "label_encoder.json": "labels",
    "metadata.json": "metadata",
    "model_card.md": "card",
}
SERVED: frozenset[Role] = frozenset({"model", "trees", "network"})


def read_manifest(folder: Path, limits: Limits) -> Manifest:
    """The manifest that lies in a bundle. Raises ModelCorrupt."""
    path = inside(folder, folder / MANIFEST, limits)
    try:
        return Manifest.model_validate_json(path.read_bytes(), strict=False)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ModelCorrupt(
            f"{path}: expected a manifest of format 1, found faults: {faults}. "
            "Publish the bundle again with `gress models push`."
        ) from error


def manifest_text(manifest: Manifest) -> str:
    """A manifest as the file that lies in a bundle."""
    return manifest.model_dump_json(indent=2) + "\n"


def derive_manifest(
    folder: Path, name: str, version: str, limits: Limits, *, strict: bool = True
) -> Manifest:
    """The manifest of a folder of the usual files (``ROLES``). Raises ModelCorrupt.

    Files with other names are refused when ``strict``, else left aside; a pickle always is refused.
    """
    files: dict[Role, FileEntry] = {}
    for path in sorted(folder.iterdir()):
        if path.name == MANIFEST or path.name.startswith("."):
            continue
        role = ROLES.get(path.name)
        if role is None:
            _refuse_unknown(path, strict=strict)
        elif role in files:
            raise ModelCorrupt(
                f"{folder}: expected one {role!r} file, found {files[role].path} and {path.name}. "
                "Take one away."
            )
        else:
            files[role] = entry_of(folder, path, limits)
    if not SERVED & set(files):
        names = ", ".join(sorted(name for name, role in ROLES.items() if role in SERVED))
        found = sorted(path.name for path in folder.iterdir())
        raise ModelCorrupt(
            f"{folder}: expected a model ({names}), found {found}.{_trees_hint(files)}"
        )
    return Manifest(
        name=name,
        version=version,
        files=files,
        classes=read_classes(folder, files),
        feature_fingerprint=read_fingerprint(folder, files),
    )


def read_classes(folder: Path, files: Mapping[Role, FileEntry]) -> tuple[str, ...]:
    """The class names of ``label_encoder.json``; none when the bundle has no such file."""
    if "labels" not in files:
        return ()
    path = folder / files["labels"].path
    classes = read_json(path).get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ModelCorrupt(f'{path}: expected {{"classes": ["…"]}}, found {classes!r}.')
    if len(set(classes)) < max(len(classes), 2):
        raise ModelCorrupt(f"{path}: expected two or more different classes, found {classes!r}.")
    return tuple(classes)


def read_fingerprint(folder: Path, files: Mapping[Role, FileEntry]) -> str:
    """The fingerprint of ``feature_schema.json``; empty when the bundle has no such file."""
    if "feature_schema" not in files:
        return ""
    path = folder / files["feature_schema"].path
    try:
        return FeatureSet.from_json(path.read_bytes()).vector.fingerprint
    except SchemaError as error:
        raise ModelCorrupt(f"{path}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file. Raises ModelCorrupt."""
    return parse_object(str(path), path.read_bytes())


def parse_object(place: str, data: bytes) -> dict[str, Any]:
    """An object from the text of a JSON file. Raises ModelCorrupt."""
    try:
        value = from_json(data)
    except (ValueError, RecursionError) as error:  # RecursionError: nested without end
        raise ModelCorrupt(f"{place}: expected JSON, found: {error}.") from error
    if not isinstance(value, dict):
        raise ModelCorrupt(f"{place}: expected a JSON object, found {type(value).__name__}.")
    return value


def _refuse_unknown(path: Path, *, strict: bool) -> None:
    if path.is_file():
        refuse_pickle(path)
    if strict:
        raise ModelCorrupt(
            f"{path}: expected files named {', '.join(sorted(ROLES))}; found {path.name!r}. "
            "Rename it or take it away."
        )


def _trees_hint(files: Mapping[Role, FileEntry]) -> str:
    if "trees_source" not in files:
        return ""
    return " The trees are served from trees.onnx: convert xgboost_model.json to ONNX."
