"""ONNX and TFLite files: what loads, what is refused, and why the bits stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.inference import Options, load_predictor
from gress_ml.inference.graph import Array, Tensor, fit
from gress_ml.inference.onnx import OnnxGraph
from gress_ml.inference.stable import FixedBlocks, stable
from gress_ml.inference.tflite import TfliteGraph
from gress_ml.registry import ModelFile, Registry

DATA = Path(__file__).parent.parent / "data"
GRAPHS = DATA / "graphs"
NET = DATA / "models" / "tiny-net" / "1.0.0" / "model.tflite"
FOUR = ("a", "b", "c", "d")


def load(name: str, classes: tuple[str, ...] = FOUR, tmp: Path = GRAPHS) -> object:
    kind = "tflite" if name.endswith(".tflite") else "onnx"
    files = [ModelFile("graph", "1", kind, GRAPHS / name)]
    return load_predictor(Registry(tmp, files).find("graph"), Options(classes=classes))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fixed_batch.onnx", "fixed batch size, expected a dynamic first axis"),
        ("zipmap.onnx", "Export again without ZipMap"),
        ("logits.onnx", "expected probabilities from 0 to 1, found"),
        ("logarithm.onnx", "expected probabilities from 0 to 1, found"),
        ("rows_mixed.onnx", "rows that do not depend on each other"),
        ("random.onnx", "or on chance"),
    ],
)
def test_a_graph_that_would_mislead_is_refused(name: str, message: str) -> None:
    with pytest.raises(ModelCorrupt, match=message) as caught:
        load(name)
    assert name in str(caught.value) or "graphs" in str(caught.value)


def test_one_column_is_the_probability_of_the_second_of_two_classes() -> None:
    predictor = load("binary.onnx", ("ham", "spam"))
    answer = predictor.predict(np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.float32))  # type: ignore[attr-defined]
    np.testing.assert_allclose(answer[:, 1], 1 / (1 + np.exp([0.0, -4.0])), atol=1e-6)
    np.testing.assert_allclose(answer.sum(axis=1), 1)


def test_one_column_without_classes_is_a_value() -> None:
    predictor = load("binary.onnx", ())
    assert predictor.predict(np.zeros((2, 4), np.float32)).tolist() == [[0.5], [0.5]]  # type: ignore[attr-defined]


def test_doubles_and_more_axes_are_fitted() -> None:
    predictor = load("doubles.onnx")
    answer = predictor.predict(np.zeros((3, 4), np.float32))  # type: ignore[attr-defined]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, 0.25)


def test_an_integer_network_takes_and_gives_floats() -> None:
    predictor = load("quantised.tflite", ("a", "b", "c"))
    rows = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    answer = predictor.predict(rows)  # type: ignore[attr-defined]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=0.02)
    assert len(np.unique(answer.argmax(axis=1))) > 1


def test_a_wrong_shape_is_an_error_of_ours() -> None:
    for graph in (OnnxGraph(GRAPHS / "softmax.onnx"), TfliteGraph(NET)):
        with pytest.raises(ModelError):
            graph.run(np.zeros((2, 9), np.float32))
        assert graph.run(np.zeros((2, 4), np.float32))[0].shape[0] == 2


def test_an_array_that_cannot_fit_is_named() -> None:
    tensor = Tensor("x", np.dtype(np.float32), (None, 2, 3))
    assert fit(tensor, np.zeros((5, 6))).shape == (5, 2, 3)
    with pytest.raises(ModelError, match=r"input x float32\[any, 2, 3\]"):
        fit(tensor, np.zeros((5, 7)))


# --- answers and batch sizes ----------------------------------------------------------------------


class Matmul:
    """A graph whose last bits depend on the batch size, as with BLAS: one row takes another path.

    The whole sum of a row is rounded differently when it is alone.
    """

    inputs: Sequence[Tensor] = (Tensor("x", np.dtype(np.float32), (None, 64)),)
    outputs: Sequence[Tensor] = (Tensor("y", np.dtype(np.float32), (None, 1)),)

    def __init__(self, *, by_place: bool = False) -> None:
        self._by_place = by_place

    def only(self, output: str) -> Matmul:
        return self

    def run(self, *arrays: Array) -> list[Array]:
        (x,) = arrays
        forward = np.add.accumulate(x, axis=1)[:, -1:]
        backward = np.add.accumulate(x[:, ::-1], axis=1)[:, -1:]
        if self._by_place:
            return [np.where(np.arange(len(x))[:, None] % 2 == 0, forward, backward)]
        return [forward if len(x) % 8 else backward]


def cut_shows(graph: object, rows: npt.NDArray[np.float32]) -> bool:
    whole = graph.run(rows)[0]  # type: ignore[attr-defined]
    for size in (1, 2, 3, 5, 8, 17):
        parts = [graph.run(rows[i : i + size])[0] for i in range(0, len(rows), size)]  # type: ignore[attr-defined]
        if not np.array_equal(np.concatenate(parts), whole):
            return True
    return False


def test_a_graph_that_depends_on_the_batch_size_runs_in_blocks() -> None:
    rows = np.random.default_rng(1).normal(size=(100, 64)).astype(np.float32)
    assert cut_shows(Matmul(), rows)
    mended = stable(Matmul(), "matmul")
    assert isinstance(mended, FixedBlocks)
    assert mended.rows > 1
    assert not cut_shows(mended, rows)


def test_a_graph_that_depends_on_the_place_runs_row_by_row() -> None:
    rows = np.random.default_rng(1).normal(size=(100, 64)).astype(np.float32)
    assert cut_shows(Matmul(by_place=True), rows)
    mended = stable(Matmul(by_place=True), "matmul")
    assert isinstance(mended, FixedBlocks)
    assert mended.rows == 1
    assert not cut_shows(mended, rows)


def test_litert_without_xnnpack_is_mended_too() -> None:
    rows = np.random.default_rng(1).normal(size=(100, 4)).astype(np.float32)
    assert not cut_shows(stable(TfliteGraph(NET, xnnpack=False), "net"), rows)


def test_the_usual_runtimes_need_no_blocks() -> None:
    """If this fails after an upgrade nothing is wrong, but calls have become slower."""
    assert isinstance(stable(TfliteGraph(NET), "net"), TfliteGraph)
    assert isinstance(stable(OnnxGraph(GRAPHS / "softmax.onnx"), "softmax"), OnnxGraph)


def test_blocks_keep_empty_batches_and_choose_outputs() -> None:
    blocks = FixedBlocks(OnnxGraph(GRAPHS / "softmax.onnx"), 4).only("out")
    assert blocks.run(np.zeros((0, 4), np.float32))[0].shape == (0, 4)
    assert blocks.run(np.zeros((5, 4), np.float32))[0].shape == (5, 4)
