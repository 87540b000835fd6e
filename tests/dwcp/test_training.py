from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gress_ml.dwcp.dataset import Plan, Sample, load, measure_samples, save
from gress_ml.dwcp.features import NAME, feature_spec
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training import extra, scores
from gress_ml.dwcp.training.extra import ExtraMissingError, library
from gress_ml.dwcp.training.table import Table, table_of
from gress_ml.dwcp.training.train import ParityError, reference_of, require_parity
from gress_ml.features import FeatureSet
from gress_ml.registry import Registry

PLAN = Plan(vms=4, transfers_per_vm=10, least_bytes=8192, most_bytes=32 << 10)
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
def samples() -> list[Sample]:
    return measure_samples(PLAN)


def test_the_features_are_the_seventeen_in_their_order() -> None:
    features = FeatureSet(feature_spec())
    assert features.vector.names == tuple(SEVENTEEN)
    assert features.name == NAME == "dwcp-v17"


def test_the_published_model_was_trained_on_these_features() -> None:
    bundle = Registry(Path(__file__).parents[2] / "models").find("compression-selector")
    fingerprint = FeatureSet(feature_spec()).vector.fingerprint
    assert bundle.manifest.feature_fingerprint == fingerprint
    assert bundle.manifest.classes == ALGORITHMS
    assert set(bundle.manifest.training_reference) == set(SEVENTEEN)
    assert bundle.manifest.scores["regret"] < bundle.manifest.scores["rules_regret"]


def test_the_same_plan_gives_the_same_transfers(samples: list[Sample]) -> None:
    again = measure_samples(PLAN)
    assert [s.transfer for s in again] == [s.transfer for s in samples]
    other = measure_samples(replace(PLAN, seed=18))
    assert [s.transfer for s in other] != [s.transfer for s in samples]


def test_samples_are_in_order_of_time_and_on_all_links(samples: list[Sample]) -> None:
    times = [sample.transfer["timestamp"] for sample in samples]
    assert times == sorted(times)
    assert Counter(s.transfer["link_type"] for s in samples) == dict.fromkeys(
        ("dc", "metro", "wan", "edge"), 10
    )


def test_the_label_is_the_cheapest_arm(samples: list[Sample]) -> None:
    table = table_of(samples)
    for sample, label in zip(samples, table.label.tolist(), strict=True):
        costs = {name: arm["cost"] for name, arm in sample.outcome["arms"].items()}
        assert ALGORITHMS[label] == min(costs, key=costs.__getitem__)
        assert sample.outcome["actual_algorithm"] == ALGORITHMS[label]


def test_history_never_knows_the_row_itself(samples: list[Sample]) -> None:
    """Whatever the newest transfer turns out to be, no feature row changes, its own included."""
    last = samples[-1]
    arms = {name: {**arm, "bytes_sent": 1} for name, arm in last.outcome["arms"].items()}
    other = [*samples[:-1], replace(last, outcome={**last.outcome, "arms": arms})]
    np.testing.assert_array_equal(table_of(other).features, table_of(samples).features)


def test_history_knows_earlier_transfers(samples: list[Sample]) -> None:
    table = table_of(samples)
    past = table.features[:, 9:13]
    assert (past[0] == 0).all()
    assert (past > 0).any(axis=0).all()


def test_parts_are_cut_by_time_without_overlap(samples: list[Sample]) -> None:
    table = table_of(samples)
    parts = [table.part(0, 0.7), table.part(0.7, 0.85), table.part(0.85, 1)]
    assert [len(part) for part in parts] == [28, 6, 6]
    np.testing.assert_array_equal(np.concatenate([part.features for part in parts]), table.features)


def test_a_sample_without_all_arms_is_refused(samples: list[Sample]) -> None:
    bad = replace(samples[0], outcome={**samples[0].outcome, "arms": None})
    with pytest.raises(ValueError, match="needs dual runs"):
        table_of([bad])


def test_a_sample_that_the_schema_refuses_is_named(samples: list[Sample]) -> None:
    bad = replace(samples[0], transfer={**samples[0].transfer, "rtt_ms": -1})
    with pytest.raises(ValueError, match="sample 2"):
        table_of([samples[0], bad])


def test_samples_survive_a_file(samples: list[Sample], tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    save(samples, path)
    assert load(path) == samples
    path.write_text('{"transfer": {}}\n')
    with pytest.raises(ValueError, match=r"samples.jsonl:1"):
        load(path)


def known_table() -> Table:
    """Two rows: amst is cheapest by half, then hde by a third; the rules say amst and hde."""
    features = np.zeros((2, 17), np.float32)
    features[:, SEVENTEEN.index("rtt_ms")] = 50
    features[:, SEVENTEEN.index("bandwidth_mbps")] = (200, 50)
    costs = np.array([[20.0, 10.0, 40.0], [20.0, 30.0, 60.0]])
    return Table(
        features, tuple(SEVENTEEN), costs.argmin(axis=1), costs, np.array(["wan", "wan"], object)
    )


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


def test_the_reference_counts_every_row(samples: list[Sample]) -> None:
    table = table_of(samples)
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
