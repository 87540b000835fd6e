"""``gress dev``, as people see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gress_ml.cli.dev import app, redacted


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "home"


def _said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.servers
def test_up_status_env_down(home: Path) -> None:
    try:
        assert "running" in _said("up", "--only", "redis")
        told = _said("status")
        assert "6.2" in told
        assert "not started" in told
        assert _said("env").startswith("export GRESS_REDIS=redis://127.0.0.1:")
    finally:
        assert "down" in _said("down")
    assert not home.exists()


@pytest.mark.servers
def test_the_lesser_mode_is_called_so(home: Path) -> None:
    try:
        assert "lesser mode" in _said("up", "--mock-kafka", "--only", "kafka")
    finally:
        _said("down")


def test_passwords_are_not_printed() -> None:
    assert redacted("postgresql://me:hunter2@db:5432/x") == "postgresql://me:***@db:5432/x"
    assert redacted("redis://:hunter2@cache:6379/0") == "redis://:***@cache:6379/0"
    assert redacted("redis://127.0.0.1:6379/0") == "redis://127.0.0.1:6379/0"
    assert redacted("a:9092,b:9092") == "a:9092,b:9092"
