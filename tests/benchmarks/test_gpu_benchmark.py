"""The benchmark of GPUs, on whatever machine this is."""

from __future__ import annotations

import pytest

from benchmarks import gpu
from gress_ml.inference.gpu import Gpu
from gress_ml.inference.onnx import OnnxGraph


def test_without_a_gpu_the_cpu_is_measured_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu", "--rounds", "1"])
    monkeypatch.setattr(gpu, "ROWS", (1, 4))
    gpu.main()
    assert ("No GPU: no session starts on" in capsys.readouterr().out) is not gpu.has_gpu()


def test_a_graph_says_what_runs_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert OnnxGraph(gpu.GRAPH).providers == ("CPUExecutionProvider",)
    assert not caplog.records
    graph = OnnxGraph(gpu.GRAPH, Gpu((0,)))
    (record,) = caplog.records
    on_gpu = graph.providers == ("CUDAExecutionProvider",)
    assert record.levelname == ("INFO" if on_gpu else "WARNING")
    assert ("runs on the CUDA devices [0]" in record.getMessage()) is on_gpu
