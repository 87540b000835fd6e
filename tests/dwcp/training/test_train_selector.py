"""``gress train selector`` from a data set to a bundle that serves, on a sample."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gress_ml.cli.train import NAME, app
from gress_ml.dwcp.dataset import read
from gress_ml.dwcp.dataset.noise import Noise
from gress_ml.dwcp.dataset.reader import MANIFEST, TRANSFERS
from gress_ml.dwcp.features import feature_spec_v2
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training.table import table_of
from gress_ml.dwcp.transfers import Arm
from gress_ml.errors import ModelError
from gress_ml.inference import Options, Weights, load_predictor
from gress_ml.registry import Registry

SAMPLE = Path(__file__).parents[2] / "data" / "transfers-sample.parquet"
# Keras reads its variables as NumPy did before version 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
GATES = 7


def built(folder: Path) -> Path:
    """The sample as a folder that ``gress dataset`` made, with what it says of noise."""
    folder.mkdir()
    shutil.copyfile(SAMPLE, folder / TRANSFERS)
    arms = {name: Arm(9, 1.0, 1.0, 1.0, 1.0, 0.0, 1, 3.0, 3.1) for name in ALGORITHMS}
    noise = Noise()
    noise.add("wan", arms, arms)
    told = {"noise_floor": {"payloads": 1, "labels": noise.summary()}}
    (folder / MANIFEST).write_text(json.dumps(told))
    return folder


class Run:
    """One training, published in spite of the gates, which so little data and work do not pass."""

    def __init__(self, folder: Path) -> None:
        self.out, self.registry = folder / "selector", folder / "models"
        self.data = built(folder / "dataset")
        self.result = train(self, "--force", "a test")


def train(run: Run, *options: str) -> Result:
    told = ["--data", str(run.data), "--out", str(run.out), "--registry", str(run.registry)]
    return CliRunner().invoke(app, ["selector", *told, "--quick", *options])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        yield Run(tmp_path_factory.mktemp("trained"))


def test_every_gate_prints_its_verdict_figure_and_bound(run: Run) -> None:
    assert run.result.exit_code == 0, run.result.output
    text = run.result.output
    assert text.count("PASS") + text.count("FAIL") == GATES
    for figure in ("regret", "least F1", "p99", "MB"):
        assert figure in text


def test_the_bundle_serves_what_the_gates_judged(run: Run) -> None:
    bundle = Registry(run.registry).find(NAME)
    predictor = load_predictor(bundle)
    test = read(SAMPLE).part(0.85, 1.0)
    features = table_of(test, feature_spec_v2()).features
    likely = predictor.predict(features)
    right = float(np.mean(likely.argmax(axis=1) == test.label))
    assert right == pytest.approx(bundle.manifest.scores["accuracy"], abs=1e-6)
    shares = bundle.manifest.weights
    same = Options(weights=Weights(shares["trees"], shares["network"]))
    np.testing.assert_array_equal(load_predictor(bundle, same).predict(features), likely)


def test_the_figures_are_flat_numbers(run: Run) -> None:
    found = json.loads(run.out.with_suffix(".json").read_bytes())
    assert found.pop("link_model_median_error") is None
    assert all(isinstance(value, float) for value in found.values())
    wanted = ("gain_over_rules", "gain_low", "gain_high", "regret", "accuracy", "f1_min", "ece")
    assert {*wanted, "model_p99_us", "bundle_mb"} <= set(found)


def test_report_card_and_logs_are_there(run: Run) -> None:
    page = (run.out / "report.html").read_text()
    assert page.count("<svg") >= 9
    assert (run.out / "report.md").read_text().count(".svg)") == page.count("<svg")
    assert "1 payloads were measured twice" in (run.out / "report.md").read_text()
    assert any((run.out / "logs").rglob("events.out.tfevents*"))
    card = Registry(run.registry).find(NAME).require("card").read_text()
    assert "a test" in card


def test_the_manifest_says_what_failed_and_why_it_is_published(run: Run) -> None:
    tags = Registry(run.registry).find(NAME).manifest.tags
    assert tags["forced"] == "a test"
    assert tags["gates"].startswith("failed: ")


def test_a_version_that_is_there_is_refused_before_the_work(run: Run) -> None:
    found = train(run)
    assert isinstance(found.exception, ModelError)
    assert "published already" in str(found.exception)


def test_a_file_that_is_not_there_is_said_in_words(run: Run, tmp_path: Path) -> None:
    found = CliRunner().invoke(
        app, ["selector", "--data", str(tmp_path / "nothing"), "--no-publish", "--quick"]
    )
    assert "nothing" in str(found.exception)
