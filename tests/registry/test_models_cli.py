"""``gress models`` does what the registry does, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from places import Place
from typer.testing import CliRunner, Result

from gress_ml.cli.models import app
from gress_ml.errors import ModelError, ModelNotFound
from gress_ml.registry import Registry


def gress(models: Path | str, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--models", str(models)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def models(tmp_path: Path, files: Path) -> Path:
    folder = tmp_path / "models"
    gress(folder, "push", str(files), "selector", "v1.9", "--alias", "champion")
    gress(folder, "push", str(files), "selector", "1.10.0", "--tag", "env=test")
    return folder


def test_push_publishes_with_aliases_and_tags(models: Path) -> None:
    registry = Registry(models)
    assert registry.find("selector").version == "1.9.0"
    latest = registry.find("selector", "latest").manifest
    assert latest.tags == {"env": "test"}
    assert latest.created.endswith("Z")


def test_list_names_versions_in_order(models: Path) -> None:
    lines = gress(models, "list").output.splitlines()
    assert [line.split() for line in lines] == [
        ["model", "version", "aliases"],
        ["selector", "1.9.0", "champion"],
        ["selector", "1.10.0"],
    ]


def test_show_tells_what_is_inside(models: Path) -> None:
    output = gress(models, "show", "selector@latest").output
    for text in ("selector 1.10.0", "trees.onnx", "classes: hde, amst, none", "env=test"):
        assert text in output


def test_alias_moves(models: Path) -> None:
    assert gress(models, "alias", "selector", "champion", "latest").output == (
        "selector@champion is 1.10.0\n"
    )
    assert Registry(models).find("selector").version == "1.10.0"


def test_verify_fails_when_a_file_changed(models: Path) -> None:
    assert gress(models, "verify").output == "2 of 2 bundles are whole\n"
    (models / "selector" / "1.9.0" / "trees.onnx").write_bytes(b"x")
    result = gress(models, "verify")
    assert result.exit_code == 1
    assert "✗ selector 1.9.0: " in result.output
    assert "1 of 2 bundles are whole" in result.output


def test_what_is_wrong_is_an_error_of_ours(models: Path, files: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model 'x'"):
        gress(models, "list", "x")
    with pytest.raises(ModelNotFound):
        gress(models, "show", "selector@9.0.0")
    with pytest.raises(ModelError, match="never changes"):
        gress(models, "push", str(files), "selector", "1.9")
    with pytest.raises(ModelError, match="expected KEY=VALUE"):
        gress(models, "push", str(files), "selector", "2", "--tag", "env")


def test_rollback_diff_history_and_pull(models: Path, files: Path, tmp_path: Path) -> None:
    gress(models, "alias", "selector", "champion", "1.10.0")
    assert gress(models, "rollback", "selector").output == "selector@champion is 1.9.0 again\n"
    lines = gress(models, "history", "selector").output.splitlines()
    moves = [line.split()[1:] for line in lines[1:]]
    assert moves == [
        ["champion", "1.9.0"],
        ["champion", "1.9.0", "1.10.0"],
        ["champion", "1.10.0", "1.9.0", "rollback"],
    ]
    (files / "metadata.json").write_text('{"changed": true}')
    gress(models, "push", str(files), "selector", "2.0.0", "--tag", "env=new")
    lines = gress(models, "diff", "selector@1.10.0", "selector@latest").output.splitlines()
    assert {line.split()[0] for line in lines[1:]} >= {"metadata.json", "tags"}
    assert "trees.onnx" not in "\n".join(lines)
    assert gress(models, "diff", "selector", "selector").output == "no difference\n"
    target = tmp_path / "pulled"
    assert gress(models, "pull", "selector@1.9.0", str(target)).output.startswith("selector 1.9.0")
    assert (target / "trees.onnx").exists()


def test_the_registry_comes_from_the_environment(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRESS_REGISTRY", str(models))
    assert "1.10.0" in CliRunner().invoke(app, ["list", "selector"]).output


def test_a_registry_in_a_bucket_is_used_the_same(
    place_of: Callable[[str], Place], files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRESS_CACHE", str(tmp_path / "copies"))
    for kind in ("s3", "gs"):
        address = place_of(kind).address
        output = gress(address, "push", str(files), "selector", "1", "--alias", "champion").output
        assert output == (f"selector 1.0.0 is published as champion: {address}/selector/1.0.0\n")
        assert "trees.onnx" in gress(address, "show", "selector").output
        assert gress(address, "verify").output == "1 of 1 bundles are whole\n"
