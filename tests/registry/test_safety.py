"""A bundle that is not exactly what was published is refused, and the message says why."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import Place

from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.registry import Limits, Registry
from gress_ml.registry.safety import is_pickle

HERE = "selector/1.0.0"


def truncate(place: Place) -> None:
    place.write(f"{HERE}/trees.onnx", place.read(f"{HERE}/trees.onnx")[:100])


def flip_a_bit(place: Place) -> None:
    data = bytearray(place.read(f"{HERE}/trees.onnx"))
    data[50] ^= 1
    place.write(f"{HERE}/trees.onnx", bytes(data))


def traverse(manifest: dict[str, Any]) -> None:
    manifest["files"]["trees"]["path"] = "../../../secret.onnx"


def manifest_with(**fields: str) -> Callable[[Place], object]:
    return lambda place: place.edit(f"{HERE}/manifest.json", lambda m: m.update(fields))


def written(name: str, data: bytes) -> Callable[[Place], object]:
    return lambda place: place.write(f"{HERE}/{name}", data)


FAULTS: dict[str, tuple[Callable[[Place], object], str]] = {
    "truncated": (truncate, r"trees\.onnx: expected 906 bytes, found 100: .*truncated"),
    "longer": (written("trees.onnx", b"x" * 1000), r"trees\.onnx: expected .*906.*, found 1000"),
    "changed": (flip_a_bit, r"trees\.onnx: expected SHA-256 \w+, found \w+: .*changed"),
    "missing": (
        lambda place: place.remove(f"{HERE}/trees.onnx"),
        r"trees\.onnx: expected a file, found none",
    ),
    "one more": (written("x.bin", b"?"), r"x\.bin: expected only the files of"),
    "pickle beside": (written("weights.pkl", pickle.dumps([1])), r"weights\.pkl: .*found a pickle"),
    "pickle inside": (
        written("trees.onnx", pickle.dumps(list(range(300)))),
        r"trees\.onnx: .*found a pickle",
    ),
    "no manifest fields": (
        written("manifest.json", b"{}"),
        r"manifest\.json: .*name: Field required",
    ),
    "half a manifest": (
        written("manifest.json", b'{"name": "sel'),
        r"manifest\.json: .*Invalid JSON",
    ),
    "unknown field": (manifest_with(loader="evil"), r"loader: Extra inputs"),
    "traversal": (
        lambda place: place.edit(f"{HERE}/manifest.json", traverse),
        r"files\.trees\.path: String should match",
    ),
    "other features": (
        manifest_with(feature_fingerprint="f" * 64),
        r"expected features of fingerprint 'ffff",
    ),
    "renamed": (
        manifest_with(version="9.9.9"),
        r"expected selector 1\.0\.0, found selector 9\.9\.9",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_bundle_is_refused(place: Place, files: Path, fault: str) -> None:
    damage, message = FAULTS[fault]
    registry = place.registry()
    registry.push(files, "selector", "1.0.0")
    shutil.rmtree(files.parent / "cache", ignore_errors=True)  # another machine
    damage(place)
    with pytest.raises(ModelCorrupt, match=message):
        registry.find("selector", "1.0.0")
    assert list(registry.verify()) == [("selector", registry.versions("selector")[0])]


def test_a_link_out_of_the_bundle_is_refused(
    folder_registry: Registry, files: Path, tmp_path: Path
) -> None:
    folder = folder_registry.push(files, "selector", "1.0.0").folder
    outside = tmp_path / "outside.onnx"
    (folder / "trees.onnx").rename(outside)
    (folder / "trees.onnx").symlink_to(outside)
    with pytest.raises(ModelCorrupt, match="leads out of the bundle"):
        folder_registry.find("selector", "1.0.0")


@pytest.mark.parametrize("what", ["link", "loop", "pipe"])
def test_only_plain_files_of_the_folder_are_published(
    folder_registry: Registry, files: Path, tmp_path: Path, what: str
) -> None:
    """A link would publish what the publisher may read; a pipe would be waited for."""
    (tmp_path / "outside.json").write_text("{}")
    path = files / "metadata.json"
    path.unlink(missing_ok=True)
    match what:
        case "link":
            path.symlink_to(tmp_path / "outside.json")
        case "loop":
            path.symlink_to(path)
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(ModelCorrupt, match=r"leads out of|expected a"):
        folder_registry.push(files, "selector", "1.0.0")
    assert folder_registry.versions("selector") == []


@pytest.mark.parametrize("name", ["..", "../up", "/etc", "a/b", ".hidden", "a\0b", "a\n", "ä"])
def test_no_name_leads_out_of_the_registry(
    folder_registry: Registry, files: Path, tmp_path: Path, name: str
) -> None:
    for ask in (folder_registry.versions, folder_registry.find, folder_registry.aliases):
        with pytest.raises(ModelError, match="cannot be a model's name"):
            ask(name)
    with pytest.raises(ModelError, match="cannot be a model's name"):
        folder_registry.push(files, name, "1.0.0")


@pytest.mark.parametrize("version", ["..", "../1.0.0", "1.0.0/../../up", "1.0.0\n"])
def test_no_version_leads_out_of_the_registry(
    folder_registry: Registry, files: Path, version: str
) -> None:
    with pytest.raises(ModelError, match="is not a version"):
        folder_registry.push(files, "selector", version)
    folder_registry.push(files, "selector", "1.0.0")
    with pytest.raises(ModelError, match="has no version or alias"):
        folder_registry.find("selector", version)


def test_a_link_within_the_bundle_is_followed(folder_registry: Registry, files: Path) -> None:
    """As in a mounted Kubernetes ConfigMap."""
    folder = folder_registry.push(files, "selector", "1.0.0").folder
    (folder / "..data").mkdir()
    (folder / "trees.onnx").rename(folder / "..data" / "trees.onnx")
    (folder / "trees.onnx").symlink_to(Path("..data") / "trees.onnx")
    assert folder_registry.find("selector", "1.0.0").version == "1.0.0"


def test_a_version_folder_that_leads_out_is_refused(
    folder_registry: Registry, files: Path, tmp_path: Path
) -> None:
    folder = folder_registry.push(files, "selector", "1.0.0").folder
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelCorrupt, match="leads out of the registry"):
        folder_registry.find("selector", "1.0.0")


def test_a_file_over_the_limit_is_refused(files: Path, tmp_path: Path) -> None:
    folder_registry = Registry(tmp_path / "models", limits=Limits(max_file_bytes=500))
    with pytest.raises(ModelCorrupt, match="expected at most 500 bytes, found"):
        folder_registry.push(files, "selector", "1.0.0")
    assert folder_registry.names() == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.pkl", b"x", "found a pickle"),
        ("scaler.joblib", b"x", "found a pickle"),
        ("notes.txt", b"x", "expected files named"),
        ("model.onnx", pickle.dumps({}, protocol=2), "found a pickle"),
        ("neural_network.onnx", b"x", "expected one 'network' file"),
        ("label_encoder.json", b"[1]", "expected a JSON object"),
        ("label_encoder.json", b'{"classes": ["a", "a"]}', "two or more different classes"),
        ("label_encoder.json", b'{"classes": "ab"}', 'expected {"classes"'),
    ],
)
def test_a_folder_that_would_not_load_is_not_published(
    folder_registry: Registry, files: Path, name: str, content: bytes, message: str
) -> None:
    (files / name).write_bytes(content)
    with pytest.raises(ModelCorrupt, match=message):
        folder_registry.push(files, "selector", "1.0.0")
    assert folder_registry.versions("selector") == []


def test_a_pickle_in_a_plain_folder_is_refused(folder_registry: Registry, files: Path) -> None:
    (files / "model.pickle").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelCorrupt, match="found a pickle"):
        folder_registry.open_folder(files)


def test_xgboost_json_alone_is_refused_with_what_to_do(
    folder_registry: Registry, files: Path
) -> None:
    for path in files.iterdir():
        path.unlink()
    (files / "xgboost_model.json").write_text("{}")
    with pytest.raises(ModelCorrupt, match=r"convert xgboost_model\.json to ONNX"):
        folder_registry.open_folder(files)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_known_by_their_first_bytes(protocol: int) -> None:
    assert is_pickle(pickle.dumps({"a": [1]}, protocol=protocol))


def test_models_are_not_taken_for_pickles(files: Path) -> None:
    assert not any(is_pickle(path.read_bytes()[:8]) for path in files.iterdir())
    assert not is_pickle(b"\x80\x04\x00\x00TFL3")
