"""From YAML to river: any class by its name, and every fault said at once with its place."""

from __future__ import annotations

from typing import Any

import pytest
from river import compose, ensemble, linear_model, optim, preprocessing, tree

from gress_ml import SchemaError
from gress_ml.learning.definition import build_estimator, takes_learning_rate
from gress_ml.learning.names import known_classes

LOGISTIC = "linear_model.LogisticRegression"


def test_a_name_alone_is_the_class_as_river_has_it() -> None:
    assert repr(build_estimator(LOGISTIC)) == repr(linear_model.LogisticRegression())


def test_parameters_stand_below_the_name_and_may_be_classes_again() -> None:
    built = build_estimator(
        {
            LOGISTIC: {
                "l2": 0.1,
                "optimizer": {"optim.Adam": {"lr": {"optim.schedulers.Constant": [0.5]}}},
                "loss": "optim.losses.Hinge",
            }
        }
    )
    wanted = linear_model.LogisticRegression(
        l2=0.1, optimizer=optim.Adam(optim.schedulers.Constant(0.5)), loss=optim.losses.Hinge()
    )
    assert repr(built) == repr(wanted)


def test_a_list_is_a_pipeline_and_a_union_takes_its_parts_in_order() -> None:
    parts = ["preprocessing.StandardScaler", {"compose.Select": ["a"]}]
    union = {"compose.TransformerUnion": parts}
    built = build_estimator([union, "linear_model.LinearRegression"])
    assert isinstance(built, compose.Pipeline)
    wanted = compose.Pipeline(
        compose.TransformerUnion(preprocessing.StandardScaler(), compose.Select("a")),
        linear_model.LinearRegression(),
    )
    assert repr(built) == repr(wanted)


def test_a_pipeline_inside_an_ensemble() -> None:
    inner = {"compose.Pipeline": ["preprocessing.StandardScaler", LOGISTIC]}
    built = build_estimator({"ensemble.BaggingClassifier": {"model": inner, "n_models": 2}})
    assert isinstance(built, ensemble.BaggingClassifier)
    assert len(built) == 2


def test_chance_has_a_seed_unless_the_definition_gives_another() -> None:
    assert build_estimator("forest.ARFClassifier").seed == 0
    assert build_estimator({"forest.ARFClassifier": {"seed": 5}}).seed == 5


def test_two_builds_share_nothing() -> None:
    first, second = build_estimator([LOGISTIC], 0.1), build_estimator([LOGISTIC], 0.1)
    first.learn_one({"a": 1.0}, True)
    assert second.predict_proba_one({"a": 1.0})[True] == 0.5


def test_the_learning_rate_goes_to_every_optimizer_that_is_not_given() -> None:
    schedule = {"optim.schedulers.InverseScaling": {"learning_rate": 0.1, "power": 0.4}}
    built = build_estimator({"ensemble.BaggingClassifier": {"model": LOGISTIC}}, schedule)
    for model in built:
        assert model.optimizer.lr.power == 0.4
    given = {LOGISTIC: {"optimizer": "optim.Adam"}}
    with pytest.raises(SchemaError, match="learning_rate: learner has no estimator with an opti"):
        build_estimator(given, 0.1)


@pytest.mark.parametrize(
    ("definition", "takes"),
    [
        (LOGISTIC, True),
        ({LOGISTIC: {"optimizer": "optim.SGD"}}, False),
        ({LOGISTIC: {"l2": 0.1}}, True),
        ("tree.HoeffdingTreeClassifier", False),
        (["preprocessing.StandardScaler", LOGISTIC], True),
        (None, False),
        ("linear_model.Logistic", False),
    ],
)
def test_a_default_learning_rate_is_for_learners_that_take_one(
    definition: Any, takes: bool
) -> None:
    assert takes_learning_rate(definition) is takes


FAULTS = {
    "learner: river has no class 'linear_model.LogisticRegresion'; did you mean "
    "'linear_model.LogisticRegression'?": "linear_model.LogisticRegresion",
    "learner[0]: river has no class 'linear_model.StandardScaler'; did you mean "
    "'preprocessing.StandardScaler'?": ["linear_model.StandardScaler", LOGISTIC],
    "learner.linear_model.LogisticRegression.optimiser: unknown parameter 'optimiser'; did you "
    "mean 'optimizer'?": {LOGISTIC: {"optimiser": 1}},
    "learner.tree.HoeffdingTreeClassifier.grace_period: expected a whole number, found 'x'": {
        "tree.HoeffdingTreeClassifier": {"grace_period": "x"}
    },
    "learner.tree.HoeffdingTreeClassifier.grace_period: expected a whole number, found True": {
        "tree.HoeffdingTreeClassifier": {"grace_period": True}
    },
    "learner.ensemble.BaggingClassifier: missing parameter 'model'": {
        "ensemble.BaggingClassifier": None
    },
    "learner: tree.HoeffdingTreeClassifier refuses its parameters": {
        "tree.HoeffdingTreeClassifier": {"split_criterion": "luck", "leaf_prediction": "luck"}
    },
    "learner: expected a classifier or a regressor of river at the end, found StandardScaler": (
        "preprocessing.StandardScaler"
    ),
    "learner: expected a classifier or a regressor of river at the end, found nothing": [],
    "learner: expected a class of river, such as": {"a": 1, "b": 2},
    "learner: river has no class 'datasets.Phishing'": {"datasets.Phishing": None},
    "learner: river has no class 'os.system'": "os.system",
    "learner.linear_model.LogisticRegression: expected parameters by name, or a list; found 5": {
        LOGISTIC: 5
    },
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_names_its_place_what_was_expected_and_what_may_be_meant(message: str) -> None:
    if "refuses its parameters" in message:
        kind = tree.HoeffdingTreeClassifier
        try:
            kind(split_criterion="luck", leaf_prediction="luck")
        except ValueError:
            pass
        else:
            pytest.skip("river takes these parameters now")
    with pytest.raises(SchemaError) as raised:
        build_estimator(FAULTS[message])
    assert str(raised.value).startswith(message)


def test_all_faults_are_told_together() -> None:
    bad = [{"preprocessing.StandardScaler": {"with_sdt": 1}}, {LOGISTIC: {"l3": 1, "l2": "x"}}]
    with pytest.raises(SchemaError) as raised:
        build_estimator(bad)
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == [
        "learner[0].preprocessing.StandardScaler.with_sdt",
        "learner[1].linear_model.LogisticRegression.l3",
        "learner[1].linear_model.LogisticRegression.l2",
    ]


def test_a_learning_rate_that_is_none_is_told() -> None:
    for wrong in (0, -1, "fast", True, "optim.SGD"):
        with pytest.raises(SchemaError, match="learning_rate"):
            build_estimator(LOGISTIC, wrong)


def test_no_data_set_and_nothing_abstract_is_known() -> None:
    assert not [name for name in known_classes() if "dataset" in name or ".base." in name]
