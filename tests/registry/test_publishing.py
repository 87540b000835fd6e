"""A learner becomes a version once, and only when it is not worse than its rival."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from river import linear_model

from gress_ml.bundle import Publication
from gress_ml.errors import StoreUnavailable
from gress_ml.learning.learner import RIVER
from gress_ml.learning.river_file import NAME, RiverFile, write_river_file
from gress_ml.learning.structure import save
from gress_ml.ports import Published
from gress_ml.registry import Registry
from gress_ml.registry.publishing import RegistryPublisher

CREATED = "2026-11-26T00:00:00+00:00"


def wanted(version: str, score: float, **more: object) -> Publication:
    file = RiverFile(
        river=RIVER,
        names=("a",),
        types=("float",),
        fingerprint="",
        missing="reject",
        classes=("no", "yes"),
        estimator=save(linear_model.LogisticRegression()),
    )
    made = Publication(
        name="late",
        version=version,
        files={NAME: write_river_file(file), "label_encoder.json": b'{"classes":["no","yes"]}'},
        scores={"holdout_Accuracy": score, "Accuracy": 0.5},
        metric="holdout_Accuracy",
        bigger_is_better=True,
        rival="champion",
        tags={"learned_until": "t-0-7"},
    )
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def publish(registry: Registry, one: Publication) -> Published:
    return RegistryPublisher(registry).publish(one, CREATED)


def test_a_model_without_a_rival_is_published_with_what_it_says(registry: Registry) -> None:
    assert publish(registry, wanted("1.0.100", 0.8)) is Published.PUBLISHED
    manifest = registry.find("late", "1.0.100").manifest
    assert manifest.scores == {"holdout_Accuracy": 0.8, "Accuracy": 0.5}
    assert manifest.tags == {"learned_until": "t-0-7"}
    assert manifest.classes == ("no", "yes")
    assert manifest.created == CREATED


def test_the_same_version_again_changes_nothing(registry: Registry) -> None:
    publish(registry, wanted("1.0.100", 0.8))
    assert publish(registry, wanted("1.0.100", 0.9)) is Published.PRESENT
    assert registry.find("late", "1.0.100").manifest.scores["holdout_Accuracy"] == 0.8


def test_a_model_that_is_worse_than_its_rival_is_not_published(registry: Registry) -> None:
    publish(registry, wanted("1.0.100", 0.8, alias="champion"))
    assert publish(registry, wanted("1.0.200", 0.79)) is Published.WORSE
    assert publish(registry, wanted("1.0.200", 0.79, tolerance=0.02)) is Published.PUBLISHED
    assert publish(registry, wanted("1.0.300", 0.8)) is Published.PUBLISHED
    versions = [str(version) for version in registry.versions("late")]
    assert versions == ["1.0.100", "1.0.200", "1.0.300"]


def test_where_less_is_better_more_is_worse(registry: Registry) -> None:
    less = {"bigger_is_better": False}
    publish(registry, wanted("1.0.100", 0.3, alias="champion", **less))
    assert publish(registry, wanted("1.0.200", 0.31, **less)) is Published.WORSE
    assert publish(registry, wanted("1.0.200", 0.29, **less)) is Published.PUBLISHED


def test_a_rival_without_the_score_is_no_rival(registry: Registry) -> None:
    publish(registry, wanted("1.0.100", 0.9, alias="champion", scores={"x": 1.0}, metric="x"))
    assert publish(registry, wanted("1.0.200", 0.1)) is Published.PUBLISHED


def test_an_alias_goes_to_the_new_version_and_never_back(registry: Registry) -> None:
    for version in ("1.0.100", "1.0.300", "1.0.200", "1.0.100"):
        publish(registry, wanted(version, 0.8, rival=None, alias="challenger"))
    assert str(registry.resolve("late", "challenger")) == "1.0.300"


def test_an_alias_that_a_crash_kept_back_is_set_by_the_next_run(registry: Registry) -> None:
    publish(registry, wanted("1.0.100", 0.8))
    assert publish(registry, wanted("1.0.100", 0.8, alias="challenger")) is Published.PRESENT
    assert str(registry.resolve("late", "challenger")) == "1.0.100"


def test_a_registry_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable):
        publish(Registry(tmp_path / "models"), wanted("1.0.100", 0.8))
