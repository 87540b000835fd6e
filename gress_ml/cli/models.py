"""Opens the model registry that a topology's ml block describes."""

from __future__ import annotations

from pathlib import Path

from gress_ml.registry.local import LocalRegistry
from gress_ml.registry.model_file import ModelFile
from gress_ml.topology.ml import MlSpec


def open_models(ml: MlSpec, project: Path) -> LocalRegistry:
    """The registry in ``base_path``, with the enabled single files of ``models:``.

    Relative paths start at the project folder. Raises ModelError.
    """
    files = [
        ModelFile(model.name, model.version, model.type, project / model.path)
        for model in ml.models
        if model.enabled
    ]
    return LocalRegistry(project / ml.model_registry.base_path, files)
