"""Graphs on CUDA devices. Where there is none, the laws hold on the CPU, and it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from structlog.testing import capture_logs

from gress_ml.errors import ModelCorrupt
from gress_ml.inference import Options, load_predictor
from gress_ml.inference.gpu import Gpu
from gress_ml.inference.onnx import OnnxGraph
from gress_ml.inference.sessions import CPU, CUDA
from gress_ml.inference.stable import FixedBlocks, stable
from gress_ml.registry import ModelFile, Registry

DATA = Path(__file__).parent.parent / "data"
GRAPHS = DATA / "graphs"
TREES = DATA / "models" / "tiny-trees" / "1.0.0" / "trees.onnx"
CLASSES = ("hde", "amst", "none")

Float32 = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def there() -> bool:
    return OnnxGraph(GRAPHS / "dense.onnx", Gpu()).provider == CUDA


@pytest.fixture
def rows() -> Float32:
    return np.random.default_rng(5).normal(0, 1, (600, 17)).astype(np.float32)


@pytest.mark.parametrize("name", ["dense.onnx", "convolution.onnx"])
def test_answers_are_those_of_the_cpu_but_for_float32_rounding(name: str, rows: Float32) -> None:
    """TF32, the default of CUDA's products, is a thousand times further off."""
    (on_cpu,) = OnnxGraph(GRAPHS / name).run(rows)
    (answer,) = OnnxGraph(GRAPHS / name, Gpu()).run(rows)
    np.testing.assert_allclose(answer, on_cpu, atol=2e-6)


@pytest.mark.parametrize("name", ["dense.onnx", "convolution.onnx"])
def test_answers_do_not_depend_on_the_cut_or_the_session(
    name: str, there: bool, rows: Float32
) -> None:
    first, second = (stable(OnnxGraph(GRAPHS / name, Gpu()), name, on_gpu=there) for _ in range(2))
    (whole,) = first.run(rows)
    for size in (1, 2, 5, 31, 64, 255, 256, 257):
        parts = [second.run(rows[at : at + size])[0] for at in range(0, len(rows), size)]
        assert np.array_equal(np.concatenate(parts), whole), size


def test_on_a_gpu_graphs_run_in_blocks_of_256_rows(rows: Float32) -> None:
    """A call costs its launch there: blocks of 32 rows would be eight calls in the place of one."""
    graph = stable(OnnxGraph(GRAPHS / "convolution.onnx", Gpu()), "net", on_gpu=True)
    assert isinstance(graph, FixedBlocks)
    assert graph.rows == 256
    assert np.array_equal(graph.run(rows)[0][:3], graph.run(rows[:3])[0])


def test_a_predictor_of_a_bundle_runs_there(there: bool, rows: Float32, tmp_path: Path) -> None:
    path = GRAPHS / "convolution.onnx"
    bundle = Registry(tmp_path, [ModelFile("net", "1", "onnx", path)]).find("net")
    on_cpu = load_predictor(bundle, Options(classes=CLASSES)).predict(rows)
    answer = load_predictor(bundle, Options(classes=CLASSES, gpu=Gpu())).predict(rows)
    np.testing.assert_allclose(answer, on_cpu, atol=2e-6)
    assert (OnnxGraph(path, Gpu()).provider == CUDA) is there


def test_devices_take_turns(rows: Float32) -> None:
    graph = OnnxGraph(GRAPHS / "convolution.onnx", Gpu((0, 0)))
    first, second = graph.run(rows), graph.run(rows)
    assert np.array_equal(first[0], second[0])


@pytest.mark.parametrize("devices", [(99,), (0, 99)])
def test_a_device_that_is_not_there_is_said_and_not_exchanged_for_another(
    devices: tuple[int, ...], there: bool
) -> None:
    with capture_logs() as lines:
        graph = OnnxGraph(GRAPHS / "dense.onnx", Gpu(devices))
    assert graph.provider == CPU
    assert (lines[-1]["event"], lines[-1]["log_level"]) == ("gpu_not_used", "warning")
    assert ("device 99" in lines[-1]["reason"]) is there


def test_where_a_graph_runs_is_said(there: bool) -> None:
    path = GRAPHS / "dense.onnx"
    with capture_logs() as lines:
        OnnxGraph(path)
        assert not lines
        OnnxGraph(path, Gpu())
    said = {"path": str(path), "devices": [0], "nodes": 9, "on_gpu": 9}
    if there:
        assert lines[-1] == {"event": "graph_on_gpu", "log_level": "info", **said}
    else:
        assert (lines[-1]["event"], lines[-1]["path"]) == ("gpu_not_used", str(path))


def test_trees_have_no_cuda_kernel_and_run_on_the_cpu(there: bool) -> None:
    with capture_logs() as lines:
        assert OnnxGraph(TREES, Gpu()).provider == CPU
    assert lines[-1]["event"] == ("graph_stays_on_cpu" if there else "gpu_not_used")


def test_a_damaged_file_is_not_taken_for_a_missing_device(tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(ModelCorrupt, match=r"damaged\.onnx: expected an ONNX graph"):
        OnnxGraph(path, Gpu())
