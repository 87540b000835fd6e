"""gress check, gress schema, gress graph."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gress_ml.cli.check import check
from gress_ml.cli.graph import graph
from gress_ml.cli.schema import schema

HERE = Path(__file__).parent
PLAIN = """\
name: plain
inputs: {i: {topic: in, fields: {x: float}}}
outputs: {o: {topic: out, fields: [x]}}
"""


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    for command in (check, schema, graph):
        app.command()(command)
    return app


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    (tmp_path / "plain.yaml").write_text(PLAIN)
    return tmp_path / "plain.yaml"


def test_check_says_what_a_valid_file_is(app: typer.Typer, plain: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(plain)])
    assert result.exit_code == 0, result.output
    assert result.output == f"✓ {plain}: plain: 1 input, 0 steps, 1 output\n"


def test_check_prints_one_finding_per_line_and_exits_1(app: typer.Typer, plain: Path) -> None:
    faulty = HERE / "faulty.yaml"
    result = CliRunner().invoke(app, ["check", str(faulty), str(plain)])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert len(lines) == 9
    assert lines[0] == (
        f"{faulty}:3:20: batch.timeuot: unknown key 'timeuot' (did you mean 'timeout'?)"
    )
    assert lines[8].startswith("✓")


def test_check_gives_json_for_programs(app: typer.Typer, plain: Path) -> None:
    faulty = HERE / "faulty.yaml"
    result = CliRunner().invoke(app, ["check", str(faulty), str(plain), "--format", "json"])
    document = json.loads(result.output)
    assert result.exit_code == 1
    assert document["valid"] == [str(plain)]
    assert document["findings"][0] == {
        "file": str(faulty),
        "line": 3,
        "column": 20,
        "path": "batch.timeuot",
        "message": "unknown key 'timeuot'",
        "hint": "did you mean 'timeout'?",
    }


def test_schema_is_json_and_goes_to_a_file(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "operators").symlink_to(HERE / "operators")
    file = tmp_path / "topology.schema.json"
    CliRunner().invoke(app, ["schema", "-o", str(file), "--project", str(tmp_path)])
    found = json.loads(file.read_text())
    assert found["title"] == "gress-ml topology"
    assert "config:predict" in found["$defs"]


def test_graph_prints_mermaid_and_writes_svg(app: typer.Typer, plain: Path) -> None:
    result = CliRunner().invoke(app, ["graph", str(plain)])
    assert result.output.startswith("flowchart LR")
    picture = plain.with_suffix(".svg")
    assert CliRunner().invoke(app, ["graph", str(plain), "-o", str(picture)]).exit_code == 0
    assert picture.read_text().startswith("<svg")


def test_graph_of_a_faulty_file_tells_the_faults(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["graph", str(HERE / "faulty.yaml")])
    assert result.exit_code == 1
    assert "unknown key 'timeuot'" in result.output
