"""The registry finds what was published, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import Place

from gress_ml.errors import ModelCorrupt, ModelError, ModelNotFound
from gress_ml.registry import ModelFile, Registry, Version

MODELS = Path(__file__).parent.parent / "data" / "models"


def test_a_version_is_found_by_any_spelling(registry: Registry, files: Path) -> None:
    registry.push(files, "selector", "v1.2")
    for reference in ("1.2.0", "v1.2", "1.2", "latest"):
        assert registry.find("selector", reference).version == "1.2.0"


def test_latest_is_by_number_and_skips_prereleases(registry: Registry, files: Path) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0-rc1"):
        registry.push(files, "selector", version)
    assert registry.find("selector", "latest").version == "1.10.0"
    assert registry.find("selector", "2.0.0-rc1").version == "2.0.0-rc1"


def test_an_alias_moves_and_a_version_stays(registry: Registry, files: Path) -> None:
    registry.push(files, "selector", "1.0.0")
    registry.push(files, "selector", "1.1.0")
    registry.alias("selector", "champion", "1.0.0")
    assert registry.find("selector").version == "1.0.0"
    registry.alias("selector", "champion", "latest")
    registry.alias("selector", "challenger", "1.0.0")
    assert registry.find("selector").version == "1.1.0"
    assert registry.aliases("selector") == {"champion": Version(1, 1), "challenger": Version(1)}


def test_the_manifest_says_what_is_in_the_bundle(registry: Registry, files: Path) -> None:
    bundle = registry.push(files, "selector", "1.0.0", scores={"accuracy": 0.9}, tags={"env": "x"})
    assert bundle == registry.find("selector", "1.0.0")
    assert bundle.manifest.classes == ("hde", "amst", "none")
    assert sorted(bundle.manifest.files) == ["labels", "metadata", "network", "scaler", "trees"]
    assert bundle.manifest.scores == {"accuracy": 0.9}
    assert bundle.require("trees").read_bytes() == (files / "trees.onnx").read_bytes()


def test_files_can_be_pushed_one_by_one(registry: Registry, files: Path) -> None:
    bundle = registry.push([files / "trees.onnx", files / "label_encoder.json"], "trees", "1")
    assert sorted(bundle.manifest.files) == ["labels", "trees"]


def test_a_bundle_pushed_on_keeps_what_its_manifest_said(
    registry: Registry, files: Path, tmp_path: Path
) -> None:
    first = registry.push(files, "selector", "1.0.0", scores={"f1": 0.5}, created="2026-01-01")
    other = Registry(tmp_path / "other")
    second = other.push(first.folder, "selector", "1.0.0", tags={"from": "first"})
    assert second.manifest.scores == {"f1": 0.5}
    assert second.manifest.created == "2026-01-01"
    assert second.manifest.tags == {"from": "first"}


def test_a_published_version_is_never_overwritten(registry: Registry, files: Path) -> None:
    registry.push(files, "selector", "1.0.0")
    (files / "metadata.json").write_text("{}")
    with pytest.raises(ModelError, match="published already"):
        registry.push(files, "selector", "v1")
    assert registry.find("selector", "1.0.0").require("metadata").read_text() != "{}"


@pytest.mark.parametrize("reference", ["3.0.0", "champion", "nobody"])
def test_what_is_not_there_is_named_with_what_is(
    registry: Registry, files: Path, reference: str
) -> None:
    registry.push(files, "selector", "1.0.0")
    with pytest.raises(ModelNotFound, match=r"'1\.0\.0'"):
        registry.find("selector", reference)
    with pytest.raises(ModelNotFound, match="'selector'"):
        registry.find("unknown", reference)


@pytest.mark.parametrize("name", ["../models", "", "a/b", ".hidden", "a\n", "x" * 200])
def test_a_name_cannot_leave_the_registry(registry: Registry, files: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be a model's name"):
        registry.find(name)
    with pytest.raises(ModelError, match="cannot be a model's name"):
        registry.push(files, name, "1.0.0")


@pytest.mark.parametrize("alias", ["latest", "v1", "1.0.0", "2", "", "../x", "a b"])
def test_an_alias_is_never_a_version(registry: Registry, files: Path, alias: str) -> None:
    registry.push(files, "selector", "1.0.0")
    with pytest.raises(ModelError, match="cannot be an alias"):
        registry.alias("selector", alias, "1.0.0")


def test_aliases_of_a_file_written_by_hand_hold_until_one_is_moved(
    place: Place, files: Path
) -> None:
    registry = place.registry()
    for version in ("1.0.0", "1.1.0"):
        registry.push(files, "selector", version)
    place.write("selector/aliases.json", b'{"champion": "1.0.0", "stable": "1.0.0"}')
    assert registry.find("selector").version == "1.0.0"
    registry.alias("selector", "champion", "1.1.0")
    assert registry.aliases("selector") == {"champion": Version(1, 1), "stable": Version(1)}
    assert registry.rollback("selector") == Version(1)


def test_a_rollback_goes_back_one_and_the_next_goes_on(registry: Registry, files: Path) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        registry.push(files, "selector", version)
        registry.alias("selector", "champion", version)
    assert [str(registry.rollback("selector")) for _ in range(2)] == ["2.0.0", "1.0.0"]
    with pytest.raises(ModelNotFound, match="no version before"):
        registry.rollback("selector")
    assert registry.find("selector").version == "1.0.0"
    registry.alias("selector", "champion", "3.0.0")
    assert str(registry.rollback("selector")) == "1.0.0"
    assert str(registry.rollback("selector", to="2.0.0")) == "2.0.0"


def test_history_tells_each_move_with_what_was_before(registry: Registry, files: Path) -> None:
    for version in ("1.0.0", "2.0.0"):
        registry.push(files, "selector", version)
        registry.alias("selector", "champion", version)
    registry.alias("selector", "champion", "2.0.0")  # where it is: no change
    registry.rollback("selector")
    changes = registry.history("selector")
    assert [(c.previous, c.version, c.rollback) for c in changes] == [
        ("", "1.0.0", False),
        ("1.0.0", "2.0.0", False),
        ("2.0.0", "1.0.0", True),
    ]
    assert [c.time for c in changes] == sorted(c.time for c in changes)
    with pytest.raises(ModelNotFound, match="'nobody'"):
        registry.history("nobody")


def test_a_damaged_change_is_said_and_where(place: Place, files: Path) -> None:
    registry = place.registry()
    registry.push(files, "selector", "1.0.0")
    registry.alias("selector", "champion", "1.0.0")
    place.write("selector/aliases/00000001.json", b'{"alias": 1}')
    with pytest.raises(ModelCorrupt, match=r"00000001\.json: expected a change of an alias"):
        registry.find("selector")


def test_a_bundle_is_pulled_whole_into_a_new_folder(
    registry: Registry, files: Path, tmp_path: Path
) -> None:
    registry.push(files, "selector", "1.0.0", tags={"env": "x"})
    bundle = registry.pull("selector", "1.0.0", tmp_path / "deep" / "pulled")
    assert bundle == registry.open_folder(tmp_path / "deep" / "pulled")
    with pytest.raises(ModelError, match="is there already"):
        registry.pull("selector", "1.0.0", tmp_path / "deep" / "pulled")


def test_entries_list_versions_in_order_with_their_aliases(registry: Registry, files: Path) -> None:
    for version in ("1.10.0", "1.9.0"):
        registry.push(files, "selector", version)
    registry.alias("selector", "champion", "1.10.0")
    assert [(str(e.version), e.aliases) for e in registry.entries()] == [
        ("1.9.0", ()),
        ("1.10.0", ("champion",)),
    ]


def test_an_empty_registry_is_no_error(registry: Registry) -> None:
    assert registry.names() == []
    assert registry.entries() == []
    assert registry.verify() == {}


# --- model files outside, and folders -------------------------------------------------------------


def test_a_bare_file_is_served_as_a_bundle(tmp_path: Path) -> None:
    path = MODELS / "tiny-inputs" / "1.0.0" / "model.onnx"
    registry = Registry(tmp_path, [ModelFile("fraud-detector", "v2.0", "onnx", path)])
    for reference in ("champion", "latest", "2.0.0", "v2.0"):
        bundle = registry.find("fraud-detector", reference)
        assert (bundle.version, bundle.require("model")) == ("2.0.0", path)
    assert registry.names() == ["fraud-detector"]
    assert registry.entries()[0].where == str(path)


def test_an_alias_wins_over_a_bare_file(files: Path, tmp_path: Path) -> None:
    path = MODELS / "tiny-inputs" / "1.0.0" / "model.onnx"
    Registry(tmp_path / "m").push(files, "mixed", "1.0.0")
    registry = Registry(tmp_path / "m", [ModelFile("mixed", "2.0", "onnx", path)])
    assert registry.find("mixed").version == "2.0.0"
    registry.alias("mixed", "champion", "1.0.0")
    assert registry.find("mixed").version == "1.0.0"


def test_a_bare_file_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    path = MODELS / "tiny-inputs" / "1.0.0" / "model.onnx"
    registry = Registry(tmp_path, [ModelFile("x", "1", "tensorflow", path)])
    with pytest.raises(ModelCorrupt, match=r"expects a file ending in '\.tflite'"):
        registry.find("x")


def test_a_file_declared_twice_is_refused(tmp_path: Path) -> None:
    file = ModelFile("x", "1", "onnx", tmp_path / "x.onnx")
    with pytest.raises(ModelError, match="declared twice"):
        Registry(tmp_path, [file, file])


def test_a_version_that_is_a_file_and_published_is_refused(
    folder_registry: Registry, files: Path, tmp_path: Path
) -> None:
    folder_registry.push(files, "x", "1.0.0")
    registry = Registry(tmp_path / "models", [ModelFile("x", "1", "onnx", tmp_path / "x.onnx")])
    with pytest.raises(ModelError, match="declared twice"):
        registry.find("x")


def test_a_plain_folder_without_manifest_opens(registry: Registry, files: Path) -> None:
    (files / "README.txt").write_text("by hand")
    bundle = registry.open_folder(files)
    assert (bundle.name, bundle.version) == ("trained", "0.0.0")
    assert bundle.manifest.classes == ("hde", "amst", "none")
    assert not (files / "manifest.json").exists()


def test_metadata_may_name_a_plain_folder(registry: Registry, files: Path) -> None:
    (files / "metadata.json").write_text('{"name": "compression-selector", "version": "v1.4"}')
    bundle = registry.open_folder(files)
    assert (bundle.name, bundle.version) == ("compression-selector", "1.4.0")


def test_a_folder_that_is_not_there_is_not_found(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="expected a folder"):
        registry.open_folder(tmp_path / "nothing")


def test_the_committed_bundles_are_whole() -> None:
    assert Registry(MODELS).verify() == {}
    assert len(Registry(MODELS).names()) >= 4
