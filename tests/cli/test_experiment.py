"""``gress experiment``: what it sets, what it shows, what it refuses in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gress_ml.cli.main import app
from gress_ml.errors import ConfigError

FILE = "topologies/selector_ab_test.yaml"


def run(kafka: str, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["experiment", *arguments, "--kafka", kafka])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def file(tmp_path: Path, topic_name: str) -> str:
    """The example topology, with an experiment of the test's own."""
    text = Path(FILE).read_text().replace("trees-alone", topic_name)
    path = tmp_path / "ab.yaml"
    path.write_text(text)
    (tmp_path / "models").symlink_to(Path("models").resolve())
    return str(path)


def test_a_split_is_set_shown_changed_and_taken_back(
    kafka: str, file: str, topic_name: str
) -> None:
    said = run(kafka, "set", topic_name, "both=50", "trees=50", "--topology", file)
    assert "30.00% of the ids have another arm than before" in said
    said = run(kafka, "set", topic_name, "trees=75", "both=25")  # from what was set before
    assert "25.00% of the ids have another arm than before" in said
    shown = run(kafka, "show", topic_name)
    assert "75.00%" in shown
    assert "0-2499" in shown
    assert topic_name in run(kafka, "show")
    run(kafka, "reset", topic_name)
    with pytest.raises(ConfigError, match=r"no split of .* was set"):
        run(kafka, "show", topic_name)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (("both",), "expected ARM=WEIGHT"),
        (("both=much",), "expected ARM=WEIGHT"),
        (("both=1", "both=2"), "has a weight already"),
        (("both=1",), "one for each of"),
        (("both=1", "trees=1", "third=1"), "one for each of"),
        (("both=0", "trees=0"), "above 0"),
        (("both=nan", "trees=1"), "weight nan"),
    ],
)
def test_what_is_no_split_is_refused_in_words(
    kafka: str, file: str, topic_name: str, weights: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(kafka, "set", topic_name, *weights, "--topology", file)


def test_the_first_split_begins_from_that_of_a_topology(
    kafka: str, file: str, topic_name: str
) -> None:
    with pytest.raises(ConfigError, match="--topology"):
        run(kafka, "set", topic_name, "both=50", "trees=50")
    with pytest.raises(ConfigError, match="no step runs the experiment 'other'"):
        run(kafka, "set", "other", "both=50", "trees=50", "--topology", file)
