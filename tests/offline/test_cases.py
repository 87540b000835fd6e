"""Users' tests of topologies: what passes, what fails, and how a failure reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gress_ml.cli.main import app
from gress_ml.errors import ConfigError
from gress_ml.offline.cases import read_cases

TOPOLOGY = """\
name: numbers
inputs:
  numbers: {topic: in, fields: {x: {type: float, required: true, minimum: 0}}}
steps:
  - name: features
    operator: feature_extraction
    config: {features: [{name: x2, type: numerical, expression: x * 2}], also_columns: true}
outputs:
  out: {topic: out, fields: [x, x2]}
"""


def run(folder: Path, cases: str) -> tuple[int, str]:
    (folder / "numbers.yaml").write_text(TOPOLOGY)
    file = folder / "numbers_test.yaml"
    file.write_text(cases)
    result = CliRunner().invoke(app, ["test", str(file)])
    return result.exit_code, result.output


def test_a_case_that_holds_passes(tmp_path: Path) -> None:
    code, output = run(
        tmp_path,
        "tests: [{name: doubles, input: {numbers: [{x: 1.5}]}, output: {out: [{x2: 3}]}}]",
    )
    assert code == 0
    assert "1 passed, 0 failed" in output


def test_each_difference_is_told_with_what_was_expected_and_found(tmp_path: Path) -> None:
    code, output = run(
        tmp_path,
        "tests: [{name: wrong, input: {numbers: [{x: 1}, {x: -1}]}, "
        "output: {out: [{x2: 5, z: 1}, {x2: 0}]}}]",
    )
    assert code == 1
    assert "out: expected 2 messages, found 1" in output
    assert "out[0].x2: expected 5, found 2.0" in output
    assert "out[0].z: expected 1, found nothing" in output
    assert "numbers[1]: dead letter 'out_of_range'" in output


def test_a_dead_letter_that_does_not_come_is_a_difference(tmp_path: Path) -> None:
    code, output = run(
        tmp_path,
        "tests: [{name: none, input: {numbers: [{x: 1}]}, "
        "dead_letters: {numbers: [{row: 0, code: out_of_range}]}}]",
    )
    assert code == 1
    assert "numbers[0]: expected a dead letter 'out_of_range'" in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tests: []", "at least 1 item"),
        ("tests: [{name: a}]", "Field required"),
        ("tests: [{name: a, input: {}, outputs: {}}]", "Extra inputs are not permitted"),
        ("tests: [", "not valid YAML"),
    ],
)
def test_a_bad_test_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a_test.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_cases(file)


@pytest.mark.parametrize(
    "part", ["input: {other: []}", "input: {numbers: []}, output: {other: []}"]
)
def test_an_unknown_input_or_output_is_named_with_those_that_exist(
    tmp_path: Path, part: str
) -> None:
    (tmp_path / "numbers.yaml").write_text(TOPOLOGY)
    file = tmp_path / "numbers_test.yaml"
    file.write_text(f"tests: [{{name: a, {part}}}]")
    result = CliRunner().invoke(app, ["test", str(file)])
    assert isinstance(result.exception, ConfigError)
    assert "'other'; there are: " in str(result.exception)


@pytest.mark.parametrize("name", ["compression_selector", "selector_ab_test"])
def test_the_topologies_here_pass_their_own_tests(name: str) -> None:
    result = CliRunner().invoke(app, ["test", f"topologies/{name}_test.yaml"])
    assert result.exit_code == 0, result.output
