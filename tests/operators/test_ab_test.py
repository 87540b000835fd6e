"""The ab_test operator: rows split between models, in order, with what each choice was."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gress_ml.batch import Batch
from gress_ml.errors import ModelError, SchemaError
from gress_ml.experiments import Split, encode_split, experiment_switch
from gress_ml.metrics import (
    BATCH_SIZE,
    INFERENCE_ERRORS,
    MISSING_SPLIT_KEYS,
    PREDICTIONS,
    SHADOW_COMPARISONS,
    VARIANT_SELECTIONS,
)
from gress_ml.operator import Context, Output, Timed, in_one_go
from gress_ml.registry import Registry
from gress_ml.schema import Column, ColumnType, columns_of
from gress_ml.testing.rows import rows_of
from gress_ml_operators.ab_test import AbTest, AbTestConfig
from gress_ml_operators.inference import Inference, InferenceConfig

MODELS = Path(__file__).parent.parent / "data" / "models"
COLUMNS = columns_of(
    [Column("user", ColumnType.STRING, nullable=True), Column("features", ColumnType.VECTOR)]
)
HDE, AMST = [60.0, 80.0, 15.0, 90.0], [0.5, 900.0, 3.0, 10.0]
SWITCH = experiment_switch("fraud-test")


def variant(name: str, model: str, weight: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "model_name": model, "weight": weight, **more}


TWO = [variant("control", "tiny-trees", 80), variant("treatment", "tiny-selector", 20)]
THREE = [*TWO, variant("third", "tiny-net", 100)]


def opened(registry: Registry | None = None, **config: Any) -> AbTest:
    wanted = {"experiment": "fraud-test", "split_key": "user", "variants": TWO, **config}
    operator = AbTest(AbTestConfig.model_validate(wanted))
    operator.open(Context(registry or Registry(MODELS)))
    return operator


def batch(*users: str | None, features: Sequence[Sequence[float]] | None = None) -> Batch:
    rows = [HDE if row % 2 else AMST for row in range(len(users))] if features is None else features
    return Batch.of(
        {
            "user": np.array([*users], object),
            "features": np.array(rows, np.float32).reshape(-1, 4),
        },
        first_offset=10,
    )


def many(rows: int = 200) -> Batch:
    return batch(*(f"u-{row}" for row in range(rows)))


def counted(outputs: Sequence[Output], metric: Any) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for output in outputs:
        for measure in output.measures:
            if measure.metric is metric:
                found[measure.labels] = found.get(measure.labels, 0) + measure.value
    return found


def shadow_of(output: Output) -> Output:
    (later,) = output.later
    return in_one_go(later.stages(later.batch))


# --- arms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variants", [TWO, THREE])
def test_each_row_has_the_answer_of_its_arm_as_if_it_had_been_asked_alone(
    variants: list[dict[str, Any]],
) -> None:
    rows = many()
    made = opened(variants=variants).process(rows).batch
    assert made.offsets.tolist() == rows.offsets.tolist()
    for one in variants:
        alone = Inference(InferenceConfig(model=f"{one['model_name']}@1.0.0"))
        alone.open(Context(Registry(MODELS)))
        mine = made["ab_variant"] == one["name"]
        expected = alone.process(rows.take(mine)).batch
        assert 0 < mine.sum() < len(rows)
        for column in ("prediction", "prediction_metadata", "probabilities", "confidence"):
            np.testing.assert_array_equal(made[column][mine], expected[column])


def test_every_row_says_how_it_was_chosen() -> None:
    made = opened().process(many()).batch
    assert {*made["ab_experiment"].tolist()} == {"fraud-test"}
    shares = {"control": 0.8, "treatment": 0.2}
    expected = [shares[variant] for variant in made["ab_variant"].tolist()]
    assert made["propensity"].tolist() == expected


def test_an_arm_is_asked_once_per_batch() -> None:
    stages = opened(variants=THREE).stages(many())
    asked: list[Timed] = []
    answer = None
    try:
        while True:
            work = stages.send(answer)
            assert isinstance(work, Timed)
            asked.append(work)
            answer = work()
    except StopIteration as end:
        output = end.value
    assert [work.timers[0][1] for work in asked] == [
        ("fraud-test", "control"),
        ("fraud-test", "treatment"),
        ("fraud-test", "third"),
    ]
    assert sum(counted([output], BATCH_SIZE).values()) == 200


def test_arms_of_one_model_are_asked_together() -> None:
    arms = [
        variant("a", "tiny-trees", 1),
        variant("b", "tiny-net", 1),
        variant("c", "tiny-trees", 1),
    ]
    operator = opened(variants=arms)
    work = [call.timers for call in operator._calls]
    assert [[labels[-1] for _, labels in timers[:-1]] for timers in work] == [["a", "c"], ["b"]]
    output = operator.process(many())
    assert {*output.batch["ab_variant"].tolist()} == {"a", "b", "c"}
    assert {*counted([output], VARIANT_SELECTIONS)} == {("fraud-test", name) for name in "abc"}
    sizes = counted([output], BATCH_SIZE)
    both = np.isin(output.batch["ab_variant"], ["a", "c"]).sum()
    assert sizes["tiny-trees", "1.0.0"] == both


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["u-1", "u-2", "u-3", "u-4", None]), max_size=8), st.data())
def test_however_the_stream_is_cut_the_result_is_the_same(
    users: list[str | None], data: st.DataObject
) -> None:
    rows = batch(*users)
    at = data.draw(st.integers(0, len(users)))
    index = np.arange(len(users))
    parts = [OPERATOR.process(rows.take(part)) for part in (index[:at], index[at:])]
    whole = OPERATOR.process(rows)
    found = [row for part in parts for row in rows_of(part.batch)]
    assert [_plain(row) for row in found] == [_plain(row) for row in rows_of(whole.batch)]
    assert counted(parts, VARIANT_SELECTIONS) == counted([whole], VARIANT_SELECTIONS)


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in row.items() if name != "probabilities"}


OPERATOR = opened(warmup=False)


def test_rows_are_counted_under_their_arm_and_model() -> None:
    output = opened().process(many())
    selected = counted([output], VARIANT_SELECTIONS)
    assert {*selected} == {("fraud-test", "control"), ("fraud-test", "treatment")}
    assert sum(selected.values()) == 200
    predicted = counted([output], PREDICTIONS)
    assert predicted["tiny-trees", "1.0.0", "success"] == selected["fraud-test", "control"]
    assert predicted["tiny-selector", "1.0.0", "success"] == selected["fraud-test", "treatment"]


def test_nothing_comes_of_nothing() -> None:
    output = opened(enable_shadow_mode=True).process(batch())
    assert len(output.batch) == 0
    assert (output.rejected, output.measures, output.later) == ([], [], ())


def test_an_arm_that_is_switched_off_is_not_loaded() -> None:
    off = variant("new", "nobody", 50, enabled=False)
    made = opened(variants=[*TWO, off]).process(many()).batch
    assert {*made["ab_variant"].tolist()} == {"control", "treatment"}


def test_an_arm_of_weight_nothing_gets_no_rows() -> None:
    variants = [variant("control", "tiny-trees", 1), variant("new", "tiny-selector", 0)]
    made = opened(variants=variants).process(many()).batch
    assert {*made["ab_variant"].tolist()} == {"control"}
    assert {*made["propensity"].tolist()} == {1.0}


def test_without_a_split_key_the_key_of_the_record_counts() -> None:
    operator = opened(split_key=None)
    rows = many(50)
    keyed = Batch.of(
        {"features": rows["features"]}, keys=[user.encode() for user in rows["user"].tolist()]
    )
    by_column = opened().process(rows).batch["ab_variant"].tolist()
    assert operator.process(keyed).batch["ab_variant"].tolist() == by_column
    assert "user" not in operator.reads()


def test_the_strategy_user_id_reads_the_column_user_id() -> None:
    assert "user_id" in opened(split_key=None, strategy="user_id").reads()


def test_prefixes_keep_two_experiments_apart() -> None:
    made = opened(prefix="x_").process(many(4)).batch
    assert {"x_ab_variant", "x_ab_experiment", "x_propensity", "x_prediction"} <= set(made.columns)


# --- what does not fit ----------------------------------------------------------------------------


def test_classes_in_another_order_are_brought_into_one(tmp_path: Path) -> None:
    folder = tmp_path / "turned"
    shutil.copytree(MODELS / "tiny-trees" / "1.0.0", folder)
    (folder / "manifest.json").unlink()
    (folder / "label_encoder.json").write_text('{"classes": ["none", "hde", "amst"]}')
    registry = Registry(tmp_path / "models")
    registry.push(MODELS / "tiny-trees" / "1.0.0", "plain", "1.0.0")
    registry.push(folder, "turned", "1.0.0")
    names = [variant("a", "plain", 1), variant("b", "turned", 1)]
    arms = [{**one, "model_version": "latest"} for one in names]
    made = opened(registry, variants=arms).process(many()).batch
    plain, turned = (made["ab_variant"] == name for name in "ab")
    # one graph, its outputs under other names: what `a` calls hde, `b` calls none
    first = made["probabilities"][plain][0]
    same = np.flatnonzero(turned & (np.arange(200) % 2 == np.flatnonzero(plain)[0] % 2))[0]
    np.testing.assert_array_equal(made["probabilities"][same], first[[1, 2, 0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": [TWO[0], variant("b", "tiny-inputs", 1)]}, "expected one output"),
        ({"variants": [TWO[0], variant("b", "nobody", 1)]}, "nobody"),
    ],
)
def test_a_model_that_cannot_be_asked_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        opened(**change)


def test_arms_that_answer_different_questions_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(MODELS / "tiny-trees" / "1.0.0", folder)
    (folder / "manifest.json").unlink()
    (folder / "label_encoder.json").write_text('{"classes": ["good", "bad", "ugly"]}')
    registry = Registry(tmp_path / "models")
    registry.push(MODELS / "tiny-trees" / "1.0.0", "plain", "1.0.0")
    registry.push(folder, "other", "1.0.0")
    arms = [variant(name, name, 1, model_version="latest") for name in ("plain", "other")]
    with pytest.raises(
        SchemaError, match=r"'other' answers with the classes \['good', 'bad', 'ugly'\]"
    ):
        opened(registry, variants=arms)


def test_a_fallback_that_is_no_class_is_refused() -> None:
    with pytest.raises(SchemaError, match="'zstd' is not a class"):
        opened(fallback="zstd")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([COLUMNS["features"]], "no column 'user' to split by"),
        ([COLUMNS["features"], Column("user", ColumnType.FLOAT)], "type float: an id"),
        ([COLUMNS["user"]], "no column 'features'"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: list[Column], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        opened().signature(columns_of(columns))


@pytest.mark.parametrize(
    "config",
    [
        {"variants": []},
        {"variants": [TWO[0], TWO[0]]},
        {"variants": [variant("fallback", "tiny-trees", 1)]},
        {"variants": [variant("a", "tiny-trees", 0)]},
        {"variants": [variant("a", "tiny-trees", 1, enabled=False)]},
        {"strategy": "dice"},
        {"strategy": "random"},
        {"strategy": "percentage", "split_key": None, "variants": THREE},
        {"missing_split_key": "default_arm"},
        {"default_arm": "control"},
        {"missing_split_key": "default_arm", "default_arm": "nobody"},
        {"enable_shadow_mode": True, "variants": TWO[:1]},
        {"shadow_tolerance": -1},
        {"experiment": ""},
    ],
)
def test_a_wrong_config_is_refused(config: dict[str, Any]) -> None:
    wanted = {"experiment": "fraud-test", "split_key": "user", "variants": TWO, **config}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    with pytest.raises(ValidationError):
        AbTestConfig.model_validate(wanted)


# --- rows without an answer -----------------------------------------------------------------------


def test_rows_without_an_id_are_counted_by_what_is_done_with_them() -> None:
    rows = batch("u-1", None, None)
    by_event = opened().process(rows)
    assert counted([by_event], MISSING_SPLIT_KEYS) == {("fraud-test", "by_event"): 2}
    assert len(by_event.batch) == 3
    default = opened(missing_split_key="default_arm", default_arm="treatment").process(rows)
    assert counted([default], MISSING_SPLIT_KEYS) == {("fraud-test", "default_arm"): 2}
    assert default.batch["ab_variant"].tolist()[1:] == ["treatment", "treatment"]
    assert default.batch["propensity"].tolist()[1:] == [1.0, 1.0]
    rejecting = opened(missing_split_key="reject").process(rows)
    assert [(row.offset, row.code) for row in rejecting.rejected] == [
        (11, "missing_split_key"),
        (12, "missing_split_key"),
    ]
    assert rejecting.batch.offsets.tolist() == [10]
    assert "column 'user' is missing" in rejecting.rejected[0].message


def test_a_row_that_no_arm_can_take_is_rejected_once() -> None:
    features = [HDE, [np.inf] * 4, AMST, [np.nan] * 4]
    output = opened(variants=TWO[1:]).process(batch(*"abcd", features=features))
    assert [(row.offset, row.code) for row in output.rejected] == [
        (11, "out_of_range"),
        (13, "missing_features"),
    ]
    assert output.batch.offsets.tolist() == [10, 12]


def test_an_answer_that_is_no_number_is_rejected() -> None:
    features = [AMST, [3e38, -3e38, 3e38, 3e38], HDE]
    only = [variant("net", "tiny-net", 1)]
    output = opened(variants=only).process(batch(*"abc", features=features))
    assert [(row.offset, row.code) for row in output.rejected] == [(11, "bad_prediction")]
    assert output.batch.offsets.tolist() == [10, 12]


def broken(*_: object) -> None:
    raise ModelError("out of memory")


def test_what_the_fallback_answers_is_counted_under_no_arm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = opened(fallback="none")
    expected = operator.process(many()).batch
    monkeypatch.setattr(operator._arms[1].model.predictor, "predict", broken)
    output = operator.process(many())
    made = output.batch
    assert made.offsets.tolist() == expected.offsets.tolist()
    assert made["propensity"].tolist() == expected["propensity"].tolist()
    lost = expected["ab_variant"] == "treatment"
    assert {*made["ab_variant"][lost].tolist()} == {"fallback"}
    assert {*made["prediction"][lost].tolist()} == {"none"}
    assert made["prediction_metadata"][lost][0] == {
        "model": "tiny-selector",
        "version": "1.0.0",
        "status": "fallback",
        "variant": "treatment",
        "reason": "model_error",
        "confidence": None,
    }
    np.testing.assert_array_equal(made["probabilities"][~lost], expected["probabilities"][~lost])
    assert counted([output], VARIANT_SELECTIONS) == {
        ("fraud-test", "control"): np.count_nonzero(~lost),
        ("fraud-test", "fallback"): np.count_nonzero(lost),
    }
    assert counted([output], INFERENCE_ERRORS) == {("tiny-selector", "1.0.0"): 1}
    assert output.logs[0]["variants"] == ["treatment"]


def test_without_a_fallback_a_model_that_fails_fails_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = opened()
    monkeypatch.setattr(operator._arms[1].model.predictor, "predict", broken)
    with pytest.raises(ModelError, match="out of memory"):
        operator.process(many())


@pytest.mark.parametrize("cause", ["timeout", "overload"])
def test_a_batch_that_is_late_is_answered_by_the_fallback(cause: str) -> None:
    operator = opened(fallback="none", max_latency="5ms", missing_split_key="reject")
    output = operator.fallback(batch("u-1", None, "u-3"), cause)
    assert output.batch["ab_variant"].tolist() == ["fallback", "fallback"]
    assert output.batch["prediction_metadata"][0]["reason"] == cause
    assert [row.code for row in output.rejected] == ["missing_split_key"]
    assert counted([output], VARIANT_SELECTIONS) == {("fraud-test", "fallback"): 2}
    assert bool(counted([output], INFERENCE_ERRORS)) is (cause == "timeout")


def test_without_a_fallback_late_rows_are_rejected() -> None:
    output = opened(max_latency="5ms").fallback(batch("u-1", "u-2"), "timeout")
    assert [row.code for row in output.rejected] == ["timeout", "timeout"]
    assert len(output.batch) == 0
    assert counted([output], VARIANT_SELECTIONS) == {}


# --- the split of now -----------------------------------------------------------------------------


def test_a_split_that_is_set_counts_from_the_next_batch_on() -> None:
    operator = opened()
    before = operator.process(many()).batch["ab_variant"]
    grown = Split.of({"control": 80, "treatment": 20}).changed({"control": 40, "treatment": 60})
    weights = {"control": 40.0, "treatment": 60.0}
    assert operator.control(SWITCH, encode_split(grown, weights).decode())
    made = operator.process(many()).batch
    assert {*made["propensity"].tolist()} == {0.4, 0.6}
    had, has = before == "treatment", made["ab_variant"] == "treatment"
    assert np.all(has[had])
    assert has.sum() > had.sum()
    assert operator.control(SWITCH, "")  # taken back
    assert operator.process(many()).batch["ab_variant"].tolist() == before.tolist()


def test_a_switch_of_another_name_is_not_taken() -> None:
    assert not opened().control(experiment_switch("other"), '{"weights": {}}')
    assert not opened().control("fraud-test", "{}")


@pytest.mark.parametrize("value", ["{", '{"weights": {"control": 1}}', '{"weights": {"a": 1}}'])
def test_a_split_that_is_none_is_told_and_changes_nothing(value: str) -> None:
    operator = opened()
    before = operator.process(many()).batch["ab_variant"].tolist()
    with pytest.raises(ValueError, match="expected"):
        operator.control(SWITCH, value)
    assert operator.process(many()).batch["ab_variant"].tolist() == before


# --- shadow ---------------------------------------------------------------------------------------


def test_the_shadow_asks_every_arm_that_did_not_answer() -> None:
    operator = opened(variants=THREE, enable_shadow_mode=True, shadow_columns=["user"])
    output = operator.process(many(60))
    made = shadow_of(output).batch
    answered = dict(zip(output.batch.offsets.tolist(), rows_of(output.batch), strict=True))
    assert made.offsets.tolist() == [offset for offset in range(10, 70) for _ in range(2)]
    for offset, row in zip(made.offsets.tolist(), rows_of(made), strict=True):
        own = answered[offset]
        assert row["user"] == own["user"]
        assert (row["ab_variant"], row["prediction"]) == (own["ab_variant"], own["prediction"])
        assert row["confidence"] == own["confidence"]
    arms = {"control", "treatment", "third"}
    pairs = zip(made["ab_variant"].tolist(), made["shadow_variant"].tolist(), strict=True)
    assert {*pairs} == {(one, other) for one in arms for other in arms if one != other}


def test_the_answer_of_the_shadow_is_what_the_arm_would_have_answered() -> None:
    rows = many(60)
    output = opened(enable_shadow_mode=True).process(rows)
    made = shadow_of(output).batch
    for one in TWO:
        alone = Inference(InferenceConfig(model=f"{one['model_name']}@1.0.0"))
        alone.open(Context(Registry(MODELS)))
        mine = made["shadow_variant"] == one["name"]
        expected = alone.process(rows.take(np.isin(rows.offsets, made.offsets[mine]))).batch
        assert made["shadow_prediction"][mine].tolist() == expected["prediction"].tolist()
        assert made["shadow_confidence"][mine].tolist() == expected["confidence"].tolist()


def test_comparisons_are_counted_by_result() -> None:
    arms = [variant("a", "tiny-trees", 1), variant("b", "tiny-trees", 1)]
    output = opened(variants=arms, enable_shadow_mode=True).process(many(60))
    assert counted([shadow_of(output)], SHADOW_COMPARISONS) == {("fraud-test", "match"): 60}
    (later,) = output.later
    assert later.shed == (SHADOW_COMPARISONS, ("fraud-test", "shed"))


def test_a_shadow_that_fails_is_a_result_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = opened(enable_shadow_mode=True)
    output = operator.process(many(60))
    monkeypatch.setattr(operator._arms[1].model.predictor, "predict", broken)
    made = shadow_of(output)
    lost = made.batch["shadow_variant"] == "treatment"
    assert {*made.batch["shadow_result"][lost].tolist()} == {"failed"}
    assert {*made.batch["shadow_prediction"][lost].tolist()} == {None}
    assert np.isnan(made.batch["shadow_difference"][lost]).all()
    assert "failed" not in made.batch["shadow_result"][~lost].tolist()


def test_a_row_that_the_shadow_cannot_take_fails_alone() -> None:
    features = [
        HDE,
        [60.0, np.nan, 15.0, 90.0],
        HDE,
    ]  # trees know what to do without, a network not
    arms = [variant("trees", "tiny-trees", 1), variant("net", "tiny-net", 0)]
    operator = opened(variants=arms, enable_shadow_mode=True)
    output = operator.process(batch("u", "u", "u", features=features))
    assert len(output.batch) == 3
    results = shadow_of(output).batch["shadow_result"].tolist()
    assert results[1] == "failed"
    assert "failed" not in (results[0], results[2])


def test_rows_of_the_fallback_have_no_shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = opened(enable_shadow_mode=True, fallback="none")
    monkeypatch.setattr(operator._arms[1].model.predictor, "predict", broken)
    output = operator.process(many())
    answered = output.batch.offsets[output.batch["ab_variant"] != "fallback"]
    (later,) = output.later
    assert later.batch.offsets.tolist() == answered.tolist()


def test_what_waits_for_the_shadow_is_small() -> None:
    rows = many(50).with_columns({"large": np.array([b"x" * 1000] * 50, object)})
    (later,) = opened(enable_shadow_mode=True).process(rows).later
    assert "large" not in later.batch
    assert "user" not in later.batch
