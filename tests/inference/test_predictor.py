"""A bundle answers with probabilities that do not depend on batching; what cannot is refused."""

from __future__ import annotations

import gc
import itertools
import json
import shutil
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gress_ml.bundle import Bundle
from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.inference import Gpu, Options, Weights, load_predictor, warm_up
from gress_ml.registry import Registry

MODELS = Path(__file__).parent.parent / "data" / "models"
Find = Callable[[str], Bundle]
Float32 = npt.NDArray[np.float32]


def softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def trees_by_hand(x: Float32) -> npt.NDArray[np.float64]:
    """The trees of ``tests/data/make_models.py``, written out."""
    rtt, bandwidth, ratio, hits = x.T
    hde = np.where(ratio < 10, -1.0, np.where(hits < 80, 0.5, 3.0))
    amst = np.where(bandwidth < 500, -1.0, np.where(rtt < 1, 3.0, 1.0))
    none = np.where(bandwidth < 100, 1.0, np.where(ratio < 4, 1.5, -0.5))
    return softmax(np.stack([hde, amst, none], axis=1))


def test_trees_answer_as_written_out(bundle: Find, rows: Float32) -> None:
    predictor = load_predictor(bundle("tiny-trees"))
    assert predictor.classes == ("hde", "amst", "none")
    np.testing.assert_allclose(predictor.predict(rows), trees_by_hand(rows), atol=1e-6)


def test_the_ensemble_is_trees_on_raw_and_network_on_standardised_features(
    bundle: Find, rows: Float32
) -> None:
    scaler = json.loads(bundle("tiny-selector").require("scaler").read_text())
    scaled = ((rows - scaler["mean"]) / scaler["scale"]).astype(np.float32)
    network = load_predictor(bundle("tiny-net")).predict(scaled)
    answer = load_predictor(bundle("tiny-selector")).predict(rows)
    np.testing.assert_allclose(answer, 0.7 * trees_by_hand(rows) + 0.3 * network, atol=1e-5)
    assert answer.dtype == np.float32
    assert answer.shape == (300, 3)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_the_network_answers_as_tensorflow_did(bundle: Find) -> None:
    golden = json.loads((MODELS.parent / "graphs" / "tiny-net.golden.json").read_text())
    rows = np.array(golden["rows"], np.float32)
    answer = load_predictor(bundle("tiny-net")).predict(rows)
    np.testing.assert_allclose(answer, golden["probabilities"], atol=1e-5)


def test_only_the_ratio_of_the_weights_counts(bundle: Find, rows: Float32) -> None:
    standard = load_predictor(bundle("tiny-selector")).predict(rows)
    scaled = load_predictor(bundle("tiny-selector"), Options(weights=Weights(7, 3))).predict(rows)
    np.testing.assert_allclose(scaled, standard, atol=1e-7)


def test_a_part_of_weight_zero_is_not_run(bundle: Find, rows: Float32) -> None:
    trees = load_predictor(bundle("tiny-selector"), Options(weights=Weights(1, 0)))
    np.testing.assert_allclose(trees.predict(rows), trees_by_hand(rows), atol=1e-6)
    assert trees.accepts_missing
    network = load_predictor(bundle("tiny-selector"), Options(weights=Weights(0, 1)))
    assert not network.accepts_missing
    both = 0.7 * trees.predict(rows) + 0.3 * network.predict(rows)
    np.testing.assert_allclose(load_predictor(bundle("tiny-selector")).predict(rows), both, 1e-5)


def test_a_bundle_may_say_the_weights_and_who_loads_it_may_overrule(
    bundle: Find, rows: Float32
) -> None:
    plain = bundle("tiny-selector")
    said = replace(
        plain, manifest=plain.manifest.model_copy(update={"weights": {"trees": 1.0, "network": 0}})
    )
    np.testing.assert_allclose(load_predictor(said).predict(rows), trees_by_hand(rows), atol=1e-6)
    overruled = load_predictor(said, Options(weights=Weights(0.7, 0.3))).predict(rows)
    np.testing.assert_array_equal(overruled, load_predictor(plain).predict(rows))


def test_weights_of_a_bundle_that_mean_nothing_are_told(bundle: Find) -> None:
    plain = bundle("tiny-selector")
    for weights in ({"trees": 0.0}, {"trees": -1.0, "network": 1.0}):
        said = replace(plain, manifest=plain.manifest.model_copy(update={"weights": weights}))
        with pytest.raises(ModelCorrupt, match="expected two weights"):
            load_predictor(said)


@pytest.mark.parametrize("weights", [(0, 0), (-1, 1), (float("nan"), 1), (float("inf"), 1)])
def test_weights_that_mean_nothing_are_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected two weights"):
        Weights(*weights)


@settings(deadline=None, max_examples=60)
@given(cuts=st.lists(st.integers(0, 300), max_size=6), name=st.sampled_from(["selector", "net"]))
def test_the_cut_never_shows_in_the_answer(cuts: list[int], name: str) -> None:
    """Bit for bit, not within a tolerance: a tie must not be decided by the batch."""
    predictor = load_predictor(Registry(MODELS).find(f"tiny-{name}"))
    rows = np.random.default_rng(1).normal(0, 100, (300, 4)).astype(np.float32)
    edges = [0, *sorted(cuts), 300]
    parts = [predictor.predict(rows[a:b]) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), predictor.predict(rows))


@pytest.mark.parametrize("name", ["tiny-selector", "tiny-trees", "tiny-net"])
def test_an_empty_batch_has_an_empty_answer(bundle: Find, name: str) -> None:
    empty = np.empty((0, 4), np.float32)
    assert load_predictor(bundle(name)).predict(empty).shape == (0, 3)


def test_the_batch_is_not_changed_and_not_kept(bundle: Find, rows: Float32) -> None:
    predictor = load_predictor(bundle("tiny-selector"))
    before = rows.copy()
    rows.flags.writeable = False
    first = predictor.predict(rows)
    kept = first.copy()
    predictor.predict(rows[::-1].copy())
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(first, kept)


def test_columns_of_other_types_are_converted(bundle: Find, rows: Float32) -> None:
    predictor = load_predictor(bundle("tiny-selector"))
    expected = predictor.predict(rows)
    np.testing.assert_array_equal(predictor.predict(rows.astype(np.float64)), expected)
    np.testing.assert_array_equal(predictor.predict(np.asfortranarray(rows)), expected)


def test_threads_share_a_predictor(bundle: Find, rows: Float32) -> None:
    predictor = load_predictor(bundle("tiny-selector"))
    expected = predictor.predict(rows)

    def ask(size: int) -> bool:
        return all(
            np.array_equal(predictor.predict(rows[:size]), expected[:size]) for _ in range(30)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, [1, 7, 300, 64, 2, 33, 150, 5] * 2))


# --- shared ---------------------------------------------------------------------------------------


def test_partitions_share_one_predictor(bundle: Find) -> None:
    first = load_predictor(bundle("tiny-selector"))
    assert load_predictor(bundle("tiny-selector")) is first
    assert load_predictor(bundle("tiny-selector"), Options(weights=Weights(1, 1))) is not first
    assert load_predictor(bundle("tiny-trees")) is not first


def test_a_predictor_nobody_holds_is_let_go(bundle: Find) -> None:
    held = load_predictor(bundle("tiny-net"), Options(classes=("let", "it", "go")))
    watch = weakref.ref(held)
    assert watch() is held
    del held
    gc.collect()
    assert watch() is None


def test_warm_up_takes_any_size(bundle: Find) -> None:
    warm_up(load_predictor(bundle("tiny-selector")), [1, 100, 1000])
    predictor = load_predictor(bundle("tiny-inputs"), Options(output="score"))
    warm_up(predictor, [1, 16])


def test_a_size_is_warmed_up_once_however_many_partitions_ask(bundle: Find) -> None:
    class Counted:
        """The predictor, with the sizes that it was asked for."""

        def __init__(self) -> None:
            self.inner = load_predictor(bundle("tiny-net"))
            self.inputs = self.inner.inputs
            self.sizes: list[int] = []

        def predict(self, *arrays: Any) -> Any:
            self.sizes.append(len(arrays[0]))
            return self.inner.predict(*arrays)

    predictor = Counted()
    for sizes in ([1, 16], [1, 16], [1, 64]):
        warm_up(predictor, sizes)  # type: ignore[arg-type]
    assert predictor.sizes == [1, 1, 16, 16, 64, 64]


# --- several inputs -------------------------------------------------------------------------------


def test_a_graph_may_take_numbers_and_strings(bundle: Find) -> None:
    predictor = load_predictor(bundle("tiny-inputs"), Options(output="twice"))
    assert [str(tensor) for tensor in predictor.inputs] == [
        "amount float32[any, 1]",
        "count int64[any, 1]",
        "country string[any, 1]",
    ]
    answer = predictor.predict(
        np.array([1.5, 2.5]), np.array([1, 2]), np.array(["DE", "XX"], object)
    )
    assert answer.tolist() == [[8.0], [34.0]]


def test_the_output_to_read_must_be_clear(bundle: Find) -> None:
    with pytest.raises(ModelCorrupt, match=r"expected one output .* Name one of them"):
        load_predictor(bundle("tiny-inputs"))
    with pytest.raises(ModelError, match=r"no output 'x'; the graph has \['score', 'twice'\]"):
        load_predictor(bundle("tiny-inputs"), Options(output="x"))


def test_a_gpu_that_is_not_there_falls_back_to_the_cpu(bundle: Find, rows: Float32) -> None:
    on_cpu = load_predictor(bundle("tiny-trees")).predict(rows)
    with capture_logs() as lines:
        answer = load_predictor(bundle("tiny-trees"), Options(gpu=Gpu((0, 1)))).predict(rows)
    np.testing.assert_allclose(answer, on_cpu, atol=1e-5)
    assert "gpu_not_used" in [line["event"] for line in lines]


# --- bundles whose parts do not fit ---------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    shutil.copytree(MODELS / "tiny-selector" / "1.0.0", folder)
    (folder / "manifest.json").unlink()
    return folder


def load(folder: Path, options: Options | None = None) -> object:
    return load_predictor(Registry(folder).open_folder(folder), options)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("label_encoder.json", '{"classes": ["a", "b"]}', "with the probabilities of"),
        ("label_encoder.json", '{"classes": ["a", "b", "c", "d"]}', "with the probabilities of"),
        ("feature_scaler.json", '{"mean": [0, 0], "scale": [1, 1]}', "expected 4 means"),
        ("feature_scaler.json", '{"mean": [0, 0, 0, 0], "scale": [1, 1]}', "as many means as"),
        ("feature_scaler.json", '{"mean": [0], "scale": [0]}', "scales above 0"),
        ("feature_scaler.json", '{"mean": [NaN], "scale": [1]}', "finite numbers"),
        ("feature_scaler.json", '{"mean": [0]}', 'expected {"mean"'),
        ("feature_scaler.json", '{"mean": "x", "scale": [1]}', 'expected {"mean"'),
        ("feature_scaler.json", "[]", 'expected {"mean"'),
        ("trees.onnx", "not a graph", "expected an ONNX graph"),
        ("neural_network.tflite", "not a model", "expected a TFLite model"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    files: Path, file: str, content: str, message: str
) -> None:
    (files / file).write_text(content)
    with pytest.raises(ModelCorrupt, match=message) as caught:
        load(files)
    assert file.split("_")[0] in str(caught.value) or "trees.onnx" in str(caught.value)


def test_a_model_of_another_width_than_the_schema_is_refused(files: Path) -> None:
    with pytest.raises(ModelCorrupt, match="expected a model of 17 features"):
        load(files, Options(features=17))
    load(files, Options(features=4))


def test_a_truncated_graph_is_refused(files: Path) -> None:
    for name in ("trees.onnx", "neural_network.tflite"):
        whole = (files / name).read_bytes()
        (files / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelCorrupt, match=name):
            load(files)
        (files / name).write_bytes(whole)


def test_an_ensemble_without_its_scaler_is_refused(files: Path) -> None:
    (files / "feature_scaler.json").unlink()
    with pytest.raises(ModelCorrupt, match="has no 'scaler' file"):
        load(files)
