"""A bundle that is not exactly what was published is refused, and the message says why."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.registry import Limits, LocalRegistry
from gress_ml.registry.safety import is_pickle


def edit_manifest(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def truncate(folder: Path) -> None:
    path = folder / "trees.onnx"
    path.write_bytes(path.read_bytes()[:100])


def flip_a_bit(folder: Path) -> None:
    path = folder / "trees.onnx"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)


def traverse(manifest: dict[str, object]) -> None:
    manifest["files"]["trees"]["path"] = "../../../secret.onnx"  # type: ignore[index]


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, r"trees\.onnx: expected 906 bytes, found 100: .*truncated"),
    "changed": (flip_a_bit, r"trees\.onnx: expected SHA-256 \w+, found \w+: .*changed"),
    "missing": (lambda f: (f / "trees.onnx").unlink(), r"trees\.onnx: expected a file, found none"),
    "one more": (lambda f: (f / "x.bin").write_text("?"), r"x\.bin: expected only the files of"),
    "pickle beside": (
        lambda f: (f / "weights.bin").write_bytes(pickle.dumps([1])),
        r"weights\.bin: .*found a pickle",
    ),
    "pickle inside": (
        lambda f: (f / "trees.onnx").write_bytes(pickle.dumps(list(range(300)))),
        r"trees\.onnx: .*found a pickle",
    ),
    "no manifest fields": (
        lambda f: (f / "manifest.json").write_text("{}"),
        r"manifest\.json: .*name: Field required",
    ),
    "half a manifest": (
        lambda f: (f / "manifest.json").write_text('{"name": "sel'),
        r"manifest\.json: .*Invalid JSON",
    ),
    "unknown field": (
        lambda f: edit_manifest(f, lambda m: m.update(loader="evil")),
        r"loader: Extra inputs",
    ),
    "traversal": (lambda f: edit_manifest(f, traverse), r"files\.trees\.path: String should match"),
    "other features": (
        lambda f: edit_manifest(f, lambda m: m.update(feature_fingerprint="f" * 64)),
        r"expected features of fingerprint 'ffff",
    ),
    "renamed": (
        lambda f: edit_manifest(f, lambda m: m.update(version="9.9.9")),
        r"expected selector 1\.0\.0, found selector 9\.9\.9",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_bundle_is_refused(registry: LocalRegistry, files: Path, fault: str) -> None:
    damage, message = FAULTS[fault]
    damage(registry.push(files, "selector", "1.0.0").folder)
    with pytest.raises(ModelCorrupt, match=message):
        registry.find("selector", "1.0.0")
    assert list(registry.verify()) == [("selector", registry.versions("selector")[0])]


def test_a_link_out_of_the_bundle_is_refused(
    registry: LocalRegistry, files: Path, tmp_path: Path
) -> None:
    folder = registry.push(files, "selector", "1.0.0").folder
    outside = tmp_path / "outside.onnx"
    (folder / "trees.onnx").rename(outside)
    (folder / "trees.onnx").symlink_to(outside)
    with pytest.raises(ModelCorrupt, match="leads out of the bundle"):
        registry.find("selector", "1.0.0")


@pytest.mark.parametrize("what", ["link", "loop", "pipe"])
def test_only_plain_files_of_the_folder_are_published(
    registry: LocalRegistry, files: Path, tmp_path: Path, what: str
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
        registry.push(files, "selector", "1.0.0")
    assert registry.versions("selector") == []


@pytest.mark.parametrize("name", ["..", "../up", "/etc", "a/b", ".hidden", "a\0b", "a\n", "ä"])
def test_no_name_leads_out_of_the_registry(
    registry: LocalRegistry, files: Path, tmp_path: Path, name: str
) -> None:
    for ask in (registry.versions, registry.find, registry.aliases):
        with pytest.raises(ModelError, match="cannot be a model's name"):
            ask(name)
    with pytest.raises(ModelError, match="cannot be a model's name"):
        registry.push(files, name, "1.0.0")


@pytest.mark.parametrize("version", ["..", "../1.0.0", "1.0.0/../../up", "1.0.0\n"])
def test_no_version_leads_out_of_the_registry(
    registry: LocalRegistry, files: Path, version: str
) -> None:
    with pytest.raises(ModelError, match="is not a version"):
        registry.push(files, "selector", version)
    registry.push(files, "selector", "1.0.0")
    with pytest.raises(ModelError, match="has no version or alias"):
        registry.find("selector", version)


def test_a_link_within_the_bundle_is_followed(registry: LocalRegistry, files: Path) -> None:
    """As in a mounted Kubernetes ConfigMap."""
    folder = registry.push(files, "selector", "1.0.0").folder
    (folder / "..data").mkdir()
    (folder / "trees.onnx").rename(folder / "..data" / "trees.onnx")
    (folder / "trees.onnx").symlink_to(Path("..data") / "trees.onnx")
    assert registry.find("selector", "1.0.0").version == "1.0.0"


def test_a_version_folder_that_leads_out_is_refused(
    registry: LocalRegistry, files: Path, tmp_path: Path
) -> None:
    folder = registry.push(files, "selector", "1.0.0").folder
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelCorrupt, match="leads out of the registry"):
        registry.find("selector", "1.0.0")


def test_a_file_over_the_limit_is_refused(files: Path, tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path / "models", limits=Limits(max_file_bytes=500))
    with pytest.raises(ModelCorrupt, match="expected at most 500 bytes, found"):
        registry.push(files, "selector", "1.0.0")
    assert registry.names() == []


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
    registry: LocalRegistry, files: Path, name: str, content: bytes, message: str
) -> None:
    (files / name).write_bytes(content)
    with pytest.raises(ModelCorrupt, match=message):
        registry.push(files, "selector", "1.0.0")
    assert registry.versions("selector") == []


def test_a_pickle_in_a_plain_folder_is_refused(registry: LocalRegistry, files: Path) -> None:
    (files / "model.pickle").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelCorrupt, match="found a pickle"):
        registry.open_folder(files)


def test_xgboost_json_alone_is_refused_with_what_to_do(
    registry: LocalRegistry, files: Path
) -> None:
    for path in files.iterdir():
        path.unlink()
    (files / "xgboost_model.json").write_text("{}")
    with pytest.raises(ModelCorrupt, match=r"convert xgboost_model\.json to ONNX"):
        registry.open_folder(files)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_known_by_their_first_bytes(protocol: int) -> None:
    assert is_pickle(pickle.dumps({"a": [1]}, protocol=protocol))


def test_models_are_not_taken_for_pickles(files: Path) -> None:
    assert not any(is_pickle(path.read_bytes()[:8]) for path in files.iterdir())
    assert not is_pickle(b"\x80\x04\x00\x00TFL3")
