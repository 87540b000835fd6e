"""The benchmark of GPUs, on whatever machine this is."""

from __future__ import annotations

import pytest

from benchmarks import gpu


def test_without_a_gpu_the_cpu_is_measured_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu", "--rounds", "1"])
    monkeypatch.setattr(gpu, "ROWS", (1, 4))
    gpu.main()
    assert ("No GPU: no session starts on" in capsys.readouterr().out) is not gpu.has_gpu()
