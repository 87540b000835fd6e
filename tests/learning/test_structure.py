"""A learner as bytes and back: the same predictions, the same learning ever after, and no code."""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import random
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import (
    bandit,
    base,
    compose,
    linear_model,
    metrics,
    multiclass,
    naive_bayes,
    optim,
    preprocessing,
    tree,
)
from river.utils import VectorDict

from gress_ml.errors import SnapshotError
from gress_ml.learning.names import _PACKAGES, known_classes
from gress_ml.learning.structure import load, save

#: Estimators that no tabular row fits, or that cannot be saved; each with its reason.
LEFT_OUT = {
    "compose.TargetTransformRegressor": "needs functions, which no definition can give",
    "ensemble.StackingClassifier": "has a part that draws from a generator without a seed",
    "model_selection.SuccessiveHalvingClassifier": "drops models for good; its regressor is tried",
    "misc.ZstdClassifier": "needs Python 3.14",
    "multiclass.OutputCodeClassifier": "holds an iterator",
}
NOT_SAVED = ("multiclass.OutputCodeClassifier",)


LOGISTIC, LINEAR = linear_model.LogisticRegression(), linear_model.LinearRegression()
HALVES = {"classifier": LOGISTIC, "desired_dist": {False: 0.5, True: 0.5}}
POLICY = bandit.EpsilonGreedy(epsilon=0.1, decay=0.001, burn_in=20, seed=7)
#: Parameters of those for which river's tests give none, or some without a seed.
OWN: dict[str, Any] = {
    "RandomOverSampler": HALVES,
    "RandomUnderSampler": HALVES,
    "RandomSampler": HALVES,
    "TargetMinMaxScaler": {"regressor": LINEAR},
    "TargetStandardScaler": {"regressor": LINEAR},
    "BanditClassifier": {
        "models": [linear_model.LogisticRegression(optim.SGD(rate)) for rate in (0.1, 0.01)],
        "metric": metrics.Accuracy(),
        "policy": POLICY,
    },
    "BanditRegressor": {
        "models": [linear_model.LinearRegression(optim.SGD(rate)) for rate in (0.1, 0.01)],
        "metric": metrics.MAE(),
        "policy": POLICY,
    },
}


def rows(kind: str, count: int, seed: int = 1) -> list[tuple[dict[str, float], Any]]:
    dice = random.Random(seed)
    made = []
    for _ in range(count):
        x = {f"f{i}": dice.random() for i in range(5)}
        score = x["f0"] - x["f1"] + dice.gauss(0, 0.1)
        label = {"two": score > 0, "three": "abc"[(score > -0.2) + (score > 0.2)], "value": score}
        made.append((x, label[kind]))
    return made


def estimators() -> Iterator[Any]:
    """Every classifier and regressor of river, with the parameters of river's own tests."""
    for name, kind in known_classes().items():
        if not issubclass(kind, base.Classifier | base.Regressor) or name in LEFT_OUT:
            continue
        if issubclass(kind, base.MultiLabelClassifier | base.MultiTargetRegressor):
            continue
        yield pytest.param(kind, id=name)


def made(kind: Any) -> list[Any]:
    """Estimators of a class; river's own parameters of its tests, with a seed where it has one."""
    given = [OWN[kind.__name__]] if kind.__name__ in OWN else list(kind._unit_test_params())[:3]
    seed = {"seed": 7} if "seed" in inspect.signature(kind).parameters else {}
    return [kind(**{**copy.deepcopy(parameters), **seed}) for parameters in given]


def learn(estimator: Any, seen: list[tuple[dict[str, float], Any]]) -> list[str]:
    """What it told about each row before it learned it."""
    told = []
    for x, y in seen:
        told.append(repr(estimator.predict_one(x)))
        estimator.learn_one(x, y)
    return told


def kind_of(estimator: Any) -> str:
    if isinstance(estimator, base.Regressor):
        return "value"
    return "three" if estimator._multiclass else "two"


@pytest.mark.parametrize("kind", [*estimators()])
def test_an_estimator_goes_on_as_if_never_saved(kind: Any) -> None:
    for estimator in made(kind):
        seen = rows(kind_of(estimator), 400)
        learn(estimator, seen[:200])
        data = save(estimator)
        again = load(data)
        assert save(again) == data
        assert learn(again, seen[200:]) == learn(estimator, seen[200:])
        assert save(again) == save(estimator)


@pytest.mark.parametrize("name", NOT_SAVED)
def test_what_cannot_be_saved_is_refused_with_its_place(name: str) -> None:
    (estimator, *_) = made(known_classes()[name])
    learn(estimator, rows("three", 10))
    with pytest.raises(SnapshotError, match=r"\w+\._\w+ cannot be saved: class builtins\.\w+ is"):
        save(estimator)


def test_a_transformer_of_every_kind_that_pipelines_use_is_saved() -> None:
    pipeline = compose.Pipeline(
        compose.TransformerUnion(
            preprocessing.StandardScaler(),
            compose.Select("f0") | preprocessing.MinMaxScaler(),
            compose.SelectType(float) | preprocessing.Normalizer(),
        ),
        linear_model.SoftmaxRegression(),
    )
    seen = rows("three", 200)
    learn(pipeline, seen[:100])
    again = load(save(pipeline))
    assert learn(again, seen[100:]) == learn(pipeline, seen[100:])


def test_bytes_are_the_same_in_every_process() -> None:
    code = (
        "import hashlib\n"
        "from tests.learning.test_structure import learn, rows\n"
        "from gress_ml.learning.structure import save\n"
        "from river import compose, forest, naive_bayes, preprocessing, feature_selection\n"
        "from river import linear_model\n"
        "for one in (forest.ARFClassifier(seed=1), naive_bayes.GaussianNB(),\n"
        "    preprocessing.StandardScaler() | linear_model.SoftmaxRegression()):\n"
        "    learn(one, rows('three', 300))\n"
        "    print(hashlib.sha256(save(one)).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_saving_leaves_an_object_as_it_was() -> None:
    """It gives each a new dictionary of the same attributes."""
    model = linear_model.LogisticRegression()
    model.learn_one({"a": 1.0}, True)
    before, loss, bytes_before = dict(vars(model)), dict(vars(model.loss)), save(model)
    assert (vars(model), vars(model.loss)) == (before, loss)
    assert [*vars(model)] == [*before]
    assert all(vars(model)[name] is before[name] for name in before)
    model.learn_one({"a": 2.0}, False)
    assert save(model) != bytes_before


def test_who_shares_what_is_kept() -> None:
    shared = [1.0]
    first, second, third = load(save([shared, shared, [1.0]]))
    assert first is second
    assert third is not first


def test_a_cycle_is_kept() -> None:
    looped: list[Any] = [1]
    looped.append(looped)
    again = load(save(looped))
    assert again[1] is again


def test_depth_without_end_is_no_depth_too_deep() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert save(load(save(deep))) == save(deep)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
        | st.lists(inner).map(lambda values: deque(values, 7))
        | st.dictionaries(st.text(), inner).map(OrderedDict)
        | st.dictionaries(st.text(), inner).map(lambda values: defaultdict(list, values))
        | st.dictionaries(st.text(), st.integers()).map(Counter)
    ),
)


@given(VALUES)
def test_plain_values_come_back_equal_and_of_their_type(value: Any) -> None:
    again = load(save(value))
    assert again == value
    assert type(again) is type(value)
    assert save(again) == save(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([], np.float32),
        np.array([True, False]),
        np.array(3.5),
        np.array(["a", "bc"]),
        np.arange(10)[::2],
    ],
)
def test_an_array_keeps_values_type_shape_and_order(array: np.ndarray[Any, Any]) -> None:
    again = load(save(array))
    assert np.array_equal(again, array)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.flags.f_contiguous == array.flags.f_contiguous or array.ndim < 2
    again[...] = again  # it can be written


def test_dice_go_on_where_they_were() -> None:
    for dice in (random.Random(3), np.random.RandomState(3), np.random.default_rng(3)):
        dice.normal() if hasattr(dice, "normal") else dice.gauss(0, 1)
        again = load(save(dice))
        assert again.random() == dice.random()


def test_numbers_of_numpy_keep_their_type() -> None:
    for number in (np.float32(1.5), np.int64(-3), np.bool_(True)):
        again = load(save(number))
        assert type(again) is type(number)
        assert again == number


def test_a_vector_of_river_keeps_its_order_and_its_factory() -> None:
    vector = VectorDict({"b": 1.0, "a": 2.0}, float)
    again = load(save(vector))
    assert [*again] == ["b", "a"]
    assert again["new"] == 0.0


# --- what bytes cannot do -------------------------------------------------------------------------


def file(*nodes: list[Any], root: Any = (0,)) -> bytes:
    return msgspec.msgpack.encode([1, [*root], [*nodes]])


HOSTILE = {
    "a class of another package": file(["object", "subprocess:Popen", [], [], []]),
    "a builtin that runs code": file(["function", "builtins:eval"]),
    "a function of the system": file(["function", "os:system"]),
    "a function seen through river": file(["function", "river.datasets.base:os.system"]),
    "a part of river that reads files": file(["function", "river.stream.iter_csv:iter_csv"]),
    "a data set of river": file(["object", "river.datasets.phishing:Phishing", [], [], []]),
    "a wrapper of other packages": file(["class", "river.compat.sklearn_to_river:SKL2RiverBase"]),
    "a module": file(["class", "river.linear_model:base"]),
    "an attribute that Python keeps": file(
        ["object", "river.optim.losses:Log", [], [["__class__", None]], []]
    ),
    "a slot that is none": file(["object", "river.optim.losses:Log", [], [], [["__dict__", None]]]),
    "a method that is none": file(
        ["method", [1], "__class__"], ["object", "river.optim.losses:Log", [], [], []]
    ),
    "a method of a plain object": file(["method", [1], "append"], ["list", []]),
    "an array of objects by its bytes": file(["array", "|O8", [1], "C", b"\0" * 8]),
    "an array longer than its bytes": file(["array", "<f8", [10**9], "C", b"\0" * 8]),
    "a value made of itself": file(["tuple", [[0]]]),
    "a node that is not there": file(["list", [[7]]]),
    "a node before the first": file(["list", [[-1]]]),
    "a kind that is none": file(["reduce", "os:system", []]),
    "an abstract class": file(["object", "river.base.classifier:Classifier", [], [], []]),
    "arguments that do not fit": file(
        ["object", "river._river_rust.stats:RsRollingQuantile", ["x"], [], []]
    ),
    "a factory that is none": file(["defaultdict", 5, []]),
    "a generator of another name": file(
        ["generator", [1]], ["mapping", "dict", [["bit_generator", "SeedSequence"]]]
    ),
    "dice of the wrong size": file(["random", 3, b"\0" * 8, None]),
    "compiled state that is cut": file(
        ["object", "river._river_rust.stats:RsQuantile", [], b"\0\1", None]
    ),
    "compiled state of another type": file(
        ["object", "river._river_rust.stats:RsQuantile", [], [1], None], ["list", []]
    ),
    "compiled state with a length beyond memory": file(
        [
            "object",
            "river._river_rust.stats:RsRollingQuantile",
            [0.5, 10],
            b"\xff" * 8 + b"\0" * 100,
            None,
        ]
    ),
    "another format": msgspec.msgpack.encode([2, None, []]),
    "a pickle": b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94.",
    "nothing": b"",
    "an object that is no list": msgspec.msgpack.encode({"format": 1}),
    "nesting without end": b"\x91" * 100_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_bytes_are_refused_and_do_nothing(what: str) -> None:
    with pytest.raises(SnapshotError):
        load(HOSTILE[what])


@pytest.fixture(scope="module")
def saved() -> bytes:
    learner = preprocessing.StandardScaler() | multiclass.OneVsRestClassifier(
        tree.HoeffdingTreeClassifier(grace_period=20)
    )
    learn(learner, rows("three", 200))
    return save([learner, naive_bayes.GaussianNB(), np.random.default_rng(1), random.Random(1)])


@given(data=st.data())
def test_a_changed_byte_is_refused_or_loads_values_alone(saved: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(saved) - 1))
    changed = saved[:at] + bytes([data.draw(st.integers(0, 255))]) + saved[at + 1 :]
    try:
        load(changed)
    except SnapshotError:
        return


def test_packages_that_a_definition_may_name_are_those_of_river() -> None:
    public = set(importlib.import_module("river.api").__all__)
    assert set(_PACKAGES) <= public
    refused = {"base", "checks", "compat", "datasets", "evaluate", "stream", "utils"}
    assert not refused & set(_PACKAGES)
