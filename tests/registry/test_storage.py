"""A store that is away, or will never answer, is told as what it is; addresses are checked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from object_stores import ObjectStore
from places import Place

from gress_ml.errors import ConfigError, ModelError, StoreUnavailable
from gress_ml.registry import Registry, open_storage


@pytest.mark.parametrize(
    "address", ["s3://", "s3:///", "gs://b/../c", "s3://b//c", "ftp://x/y", "s3://b/./c"]
)
def test_a_bad_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is not the address of a registry"):
        open_storage(address)


def test_an_address_names_bucket_and_folder(place_of: Callable[[str], Place]) -> None:
    place_of("gs")  # the emulator's environment
    for address, shown in (
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("gs://bucket", "gs://bucket"),
        ("gcs://bucket/models", "gs://bucket/models"),
        ("some/folder", "some/folder"),
    ):
        assert str(open_storage(address)) == shown


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"pip install 'gress-ml\[s3\]'"):
        open_storage("s3://bucket/models")


def test_a_store_that_is_away_may_come_back(
    monkeypatch: pytest.MonkeyPatch, files: Path, tmp_path: Path
) -> None:
    store = ObjectStore("s3")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    registry = Registry(open_storage("s3://bucket/models"), cache=tmp_path / "cache")
    with pytest.raises(StoreUnavailable, match=r"s3://bucket/models does not answer"):
        registry.find("selector")
    with pytest.raises(StoreUnavailable):
        registry.push(files, "selector", "1.0.0")


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_bucket_that_is_not_there_is_named(
    place_of: Callable[[str], Place], kind: str, tmp_path: Path
) -> None:
    place_of(kind)
    registry = Registry(open_storage(f"{kind}://nobody/models"), cache=tmp_path / "cache")
    with pytest.raises(ModelError, match=rf"{kind}://nobody/models: there is no such bucket"):
        registry.names()


def test_without_credentials_the_variables_are_named_and_no_secret(
    place_of: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place_of("s3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    registry = Registry(open_storage("s3://models-bucket/x"), cache=tmp_path / "cache")
    with pytest.raises(ModelError, match=r"access was refused.*AWS_ACCESS_KEY_ID"):
        registry.names()


def test_a_bundle_is_copied_once_and_again_when_the_copy_is_damaged(
    place_of: Callable[[str], Place], files: Path, tmp_path: Path
) -> None:
    place = place_of("s3")
    folder = place.registry().push(files, "selector", "1.0.0").folder
    stamp = (folder / "trees.onnx").stat().st_mtime_ns
    assert place.registry().find("selector", "1.0.0").folder == folder
    assert (folder / "trees.onnx").stat().st_mtime_ns == stamp
    (folder / "trees.onnx").write_bytes(b"damaged")
    place.registry().find("selector", "1.0.0")
    assert (folder / "trees.onnx").read_bytes() == (files / "trees.onnx").read_bytes()
    assert [path for path in (tmp_path / "cache").iterdir() if path != folder] == []


def test_what_changed_in_the_store_is_found_by_verify_though_the_copy_is_whole(
    place_of: Callable[[str], Place], files: Path
) -> None:
    place = place_of("gs")
    registry = place.registry()
    registry.push(files, "selector", "1.0.0")
    place.write("selector/1.0.0/trees.onnx", b"other")
    assert registry.find("selector", "1.0.0").version == "1.0.0"  # from the copy
    assert [name for name, _ in registry.verify()] == ["selector"]
