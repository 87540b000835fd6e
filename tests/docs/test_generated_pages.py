"""The reference pages are those that the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import DOCS, ROOT
from typer.testing import CliRunner

from gress_ml.cli.docs_pages import metrics_page, reference_pages
from gress_ml.cli.main import app
from gress_ml.topology.catalogue import installed_operators
from gress_ml.topology.schemas import named_schemas

AGAIN = "run `gress docs --metrics docs/metrics.md`"


def test_reference_pages_are_up_to_date() -> None:
    pages = reference_pages(installed_operators(), named_schemas().schemas)
    there = {
        str(path.relative_to(DOCS / "reference")): path.read_text(encoding="utf-8")
        for path in (DOCS / "reference").rglob("*.md")
    }
    assert sorted(there) == sorted(pages), AGAIN
    assert [path for path in pages if there[path] != pages[path]] == [], AGAIN


def test_page_of_metrics_is_up_to_date() -> None:
    found = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert found == metrics_page(installed_operators()), AGAIN


def test_check_tells_a_page_that_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = ["docs", "--output", str(tmp_path), "--metrics", str(tmp_path / "metrics.md")]
    run = CliRunner().invoke
    assert run(app, [*arguments, "--check"]).exit_code == 1
    assert run(app, arguments).exit_code == 0
    assert run(app, [*arguments, "--check"]).exit_code == 0
    (tmp_path / "topology.md").write_text("old")
    result = run(app, [*arguments, "--check"])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{tmp_path}/topology.md is out of date; run `gress docs`"
    ]


def test_operators_of_a_project_get_pages(tmp_path: Path) -> None:
    arguments = ["docs", "--project", str(DOCS / "examples"), "--output", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    page = (tmp_path / "operators/convert_currency.md").read_text()
    assert "| `rates` | mapping of names to number > 0 | **required** |" in page
    assert "Rejected: row 3 as `unknown_currency`" in page
