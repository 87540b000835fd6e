"""A folder of model files and a registry to fill."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gress_ml.registry import LocalRegistry

MODELS = Path(__file__).parent.parent / "data" / "models"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The files of an ensemble, as training writes them: no manifest."""
    folder = tmp_path / "trained"
    shutil.copytree(MODELS / "tiny-selector" / "1.0.0", folder)
    (folder / "manifest.json").unlink()
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> LocalRegistry:
    return LocalRegistry(tmp_path / "models")
