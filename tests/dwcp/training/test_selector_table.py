from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from selector_tables import made

from gress_ml.dwcp.dataset import Dataset, read
from gress_ml.dwcp.features import NAME, NAME_V2, feature_spec, feature_spec_v2
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training import extra, scores
from gress_ml.dwcp.training.extra import ExtraMissingError, library
from gress_ml.dwcp.training.robustness import perturbed
from gress_ml.dwcp.training.table import Table, table_of
from gress_ml.dwcp.training.train import ParityError, reference_of, require_parity
from gress_ml.features import FeatureSet
from gress_ml.registry import Registry

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "tests" / "data" / "transfers-sample.parquet"
SEVENTEEN = [
    "rtt_ms",
    "jitter_ms",
    "bandwidth_mbps",
    "network_quality",
    "data_size_mb",
    "entropy",
    "compressibility_score",
    "cpu_usage",
    "memory_pressure",
    "hde_compression_ratio",
    "hde_delta_hit_rate",
    "amst_transfer_rate_mbps",
    "baseline_compression_ratio",
    "hde_efficiency",
    "amst_efficiency",
    "link_type",
    "region",
]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return read(SAMPLE).take(np.arange(0, 5000, 10))


@pytest.fixture(scope="module")
def table(data: Dataset) -> Table:
    return table_of(data, feature_spec_v2())


def test_the_features_are_the_seventeen_in_their_order() -> None:
    features = FeatureSet(feature_spec())
    assert features.vector.names == tuple(SEVENTEEN)
    assert features.name == NAME == "dwcp-v17"


def test_the_second_schema_begins_with_the_seventeen() -> None:
    features = FeatureSet(feature_spec_v2())
    assert features.vector.names[:17] == tuple(SEVENTEEN)
    assert features.name == NAME_V2 == "dwcp-v2"


def test_the_published_model_was_trained_on_declared_features() -> None:
    bundle = Registry(ROOT / "models").find("compression-selector")
    known = {FeatureSet(spec()).vector for spec in (feature_spec, feature_spec_v2)}
    (vector,) = [v for v in known if v.fingerprint == bundle.manifest.feature_fingerprint]
    assert bundle.manifest.classes == ALGORITHMS
    assert set(bundle.manifest.training_reference) == set(vector.names)
    assert bundle.manifest.scores["regret"] < bundle.manifest.scores["rules_regret"]


def test_the_label_is_the_cheapest_arm(data: Dataset, table: Table) -> None:
    assert [ALGORITHMS[at] for at in table.label] == data["label"].tolist()


def test_what_is_known_only_afterwards_changes_no_feature(data: Dataset, table: Table) -> None:
    late = [n for n in data.names if n.startswith(("arm_", "during_", "legacy_", "label", "obs"))]
    late.append("baseline_ratio")
    other = Dataset({**data.columns, **{name: data[name][::-1] for name in late}})
    np.testing.assert_array_equal(table_of(other, feature_spec_v2()).features, table.features)


@pytest.mark.parametrize("link", ["a new kind of link"])
def test_estimates_are_finite_whatever_the_link(table: Table, link: str) -> None:
    columns = {
        "link_type": np.full(len(table), link, object),
        "packet_loss": np.where(np.arange(len(table)) % 2, 0.0, 1.0),
        "rtt_ms": np.zeros(len(table)),
        "compressibility_score": np.ones(len(table)),
        "baseline_similarity": np.full(len(table), 100.0),
        "cpu_usage": np.full(len(table), 100.0),
    }
    hard = table.with_events(table.events.with_columns(columns), feature_spec_v2())
    assert np.isfinite(hard.features).all()


def test_a_transfer_that_the_schema_refuses_is_named(data: Dataset) -> None:
    rtt_ms = data["rtt_ms"].copy()
    rtt_ms[1] = -1
    with pytest.raises(ValueError, match="transfer 2"):
        table_of(Dataset({**data.columns, "rtt_ms": rtt_ms}), feature_spec())


def test_exact_measurements_change_nothing(table: Table) -> None:
    same = perturbed(table, feature_spec_v2(), 0.0, 17)
    np.testing.assert_array_equal(same.features, table.features)


def test_wrong_measurements_stay_within_the_schema_and_repeat(table: Table) -> None:
    shaken = perturbed(table, feature_spec_v2(), 0.5, 17)
    again = perturbed(table, feature_spec_v2(), 0.5, 17)
    np.testing.assert_array_equal(shaken.features, again.features)
    assert (shaken.column("data_size_mb") == table.column("data_size_mb")).all()
    factor = shaken.column("rtt_ms") / table.column("rtt_ms")
    assert 0.5 <= factor.min() < 0.6
    assert 1.4 < factor.max() <= 1.5
    assert shaken.column("compressibility_score").max() <= 1.0


def known_table() -> Table:
    """Two rows: amst is cheapest by half, then hde by a third; the rules say amst and hde."""
    table = made(2, cohorts=2)
    features = np.zeros((2, 17), np.float32)
    features[:, SEVENTEEN.index("rtt_ms")] = 50
    features[:, SEVENTEEN.index("bandwidth_mbps")] = (200, 50)
    costs = np.array([[20.0, 10.0, 40.0], [20.0, 30.0, 60.0]])
    return replace(table, features=features, names=tuple(SEVENTEEN), cost=costs)


def test_scores_of_known_choices() -> None:
    table = known_table()
    hde, amst = np.array([0, 0]), np.array([1, 1])
    assert scores.by_rules(table).tolist() == [1, 0]
    assert scores.accuracy(table, hde) == 0.5
    assert scores.regret(table, hde) == pytest.approx(40 / 30 - 1)
    assert scores.regret(table, scores.by_rules(table)) == 0
    assert scores.gain(table, scores.by_rules(table), amst) == pytest.approx(40 / 30 - 1)
    assert scores.f1(table, hde) == {"hde": 2 / 3, "amst": 0.0, "none": 0.0}


def test_where_the_model_is_not_sure_the_rules_are_scored() -> None:
    wrong = np.array([[0.9, 0.1, 0.0], [0.3, 0.3, 0.4]])
    found = scores.all_scores(known_table(), wrong, 0.6)
    assert found["accuracy"] == 0.0
    assert found["served_accuracy"] == 0.5
    assert found["served_by_model"] == 0.5


def test_an_export_that_differs_stops_the_training() -> None:
    trained = np.full((3, 3), 1 / 3, np.float32)
    assert require_parity("trees", trained, trained + np.float32(1e-6)) < 1e-5
    with pytest.raises(ParityError, match="differs"):
        require_parity("trees", trained, trained + np.float32(1e-4))
    with pytest.raises(ParityError, match="differs"):
        require_parity("trees", trained, trained * np.float32(np.nan))
    with pytest.raises(ParityError, match="gives"):
        require_parity("trees", trained, trained[:, :2])


def test_the_reference_counts_every_row(table: Table) -> None:
    for name, found in reference_of(table).items():
        assert sum(found["counts"]) == len(table), name
        assert len(found["edges"]) == len(found["counts"]) + 1


def test_a_missing_library_says_what_to_install() -> None:
    with pytest.raises(ExtraMissingError, match=r"pip install 'gress-ml\[train\]'"):
        library("a_library_that_nobody_has")


def test_missing_libraries_are_found_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extra, "LIBRARIES", ("numpy", "no_such_one", "nor_this"))
    with pytest.raises(ExtraMissingError, match="no_such_one, nor_this"):
        extra.require_libraries()
