"""A folder of model files, and a registry to fill: in a folder, in S3, in Google Cloud Storage."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from object_stores import ObjectStore, make_bucket
from places import Place

from gress_ml.registry import Registry

MODELS = Path(__file__).parent.parent / "data" / "models"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The files of an ensemble, as training writes them: no manifest."""
    folder = tmp_path / "trained"
    shutil.copytree(MODELS / "tiny-selector" / "1.0.0", folder)
    (folder / "manifest.json").unlink()
    return folder


@pytest.fixture
def place_of(
    object_stores: dict[str, ObjectStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Place]:
    """A place of the test's own in a kind of store."""

    def make(kind: str) -> Place:
        cache = tmp_path / "cache"
        if kind == "folder":
            return Place(str(tmp_path / "models"), cache)
        if kind not in object_stores:
            object_stores[kind] = ObjectStore(kind).start()
        for name, value in object_stores[kind].environment.items():
            monkeypatch.setenv(name, value)
        place = Place(f"{kind}://models-bucket/{uuid.uuid4().hex}", cache)
        make_bucket(place.storage._fs, "models-bucket")
        return place

    return make


@pytest.fixture(params=["folder", "s3", "gs"])
def place(request: pytest.FixtureRequest, place_of: Callable[[str], Place]) -> Place:
    """A place in each kind of store in turn: what is shown of one is shown of all."""
    return place_of(request.param)


@pytest.fixture
def registry(place: Place) -> Registry:
    return place.registry()


@pytest.fixture
def folder_registry(place_of: Callable[[str], Place]) -> Registry:
    """A registry in a folder, where the store makes no difference or there are links."""
    return place_of("folder").registry()
