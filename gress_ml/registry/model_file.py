"""ModelFile: one model file outside the registry, served as a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gress_ml.bundle import Bundle, Manifest
from gress_ml.errors import ModelCorrupt
from gress_ml.registry.safety import Limits, entry_of
from gress_ml.registry.version import Version

ENDINGS = {"onnx": ".onnx", "tensorflow": ".tflite", "tflite": ".tflite"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """An entry of ``models:`` in the ml block: a single graph under a name and a version."""

    name: str
    version: str
    type: Literal["onnx", "tensorflow", "tflite"]
    path: Path
    warm_up: bool = True  # whether it is run before the first event
    tags: Mapping[str, str] = field(default_factory=dict)


def bundle_of(file: ModelFile, limits: Limits) -> Bundle:
    """The file as a bundle with the role ``model``. Raises ModelCorrupt."""
    if file.path.suffix.lower() != ENDINGS[file.type]:
        raise ModelCorrupt(
            f"model {file.name}: type {file.type!r} expects a file ending in "
            f"{ENDINGS[file.type]!r}, found {file.path}. Correct the type or the path."
        )
    folder = file.path.parent
    try:
        entry = entry_of(folder, file.path, limits)
    except ValueError as error:  # the name has blanks or the like
        raise ModelCorrupt(
            f"{file.path}: expected a file name of letters, digits, dot, dash and underscore."
        ) from error
    version = str(Version.parse(file.version))
    manifest = Manifest(name=file.name, version=version, files={"model": entry}, tags=file.tags)
    return Bundle(folder, manifest, file.warm_up)
