"""``python -m benchmarks.gpu``: the step ``inference`` on a GPU, beside the CPU, by rows per batch.

A dense network of 2.1 million weights, and a convolution of 12,000; trees have no CUDA kernels in
ONNX Runtime. Where there is no CUDA it says so and measures the CPU alone. Times are those of
``process``, with the copies to the device and back; the CPU has one thread, as in a worker.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import ROOT
from benchmarks.machine import describe_machine
from gress_ml.batch import Batch
from gress_ml.inference.gpu import Gpu
from gress_ml.inference.onnx import OnnxGraph
from gress_ml.inference.sessions import CUDA
from gress_ml.operator import Context
from gress_ml.registry import ModelFile, Registry
from gress_ml_operators.inference import Inference, InferenceConfig

GRAPHS = ROOT / "tests" / "data" / "graphs"
NAMES = ("dense", "convolution")
CLASSES = ("hde", "amst", "none")
ROWS = (1, 4, 16, 64, 256, 1024, 4096)
_FEATURES = 17


def has_gpu() -> bool:
    """Whether a session really starts on CUDA: the library may be there without a device."""
    return OnnxGraph(GRAPHS / "dense.onnx", Gpu()).provider == CUDA


def device() -> str:
    """What the driver calls the first GPU."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "--id=0"]
    return subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()


def opened(name: str, *, gpu: bool) -> Inference:
    """The step with this graph, on the GPU or the CPU."""
    config = InferenceConfig(model=name, classes=CLASSES, enable_gpu=gpu, warmup=False)
    step = Inference(config)
    files = [ModelFile(name, "1.0.0", "onnx", GRAPHS / f"{name}.onnx")]
    with tempfile.TemporaryDirectory() as empty:
        step.open(Context(Registry(Path(empty), files)))
    return step


def us_per_row(step: Inference, rows: int, rounds: int) -> float:
    """Median over the rounds of the wall time of one batch; the first two warm up."""
    features = np.random.default_rng(17).random((rows, _FEATURES), np.float32)
    batch = Batch.of({"features": features})
    times = []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        step.process(batch)
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:]) / rows * 1e6


def measured(name: str, rounds: int, *, gpu: bool) -> Table:
    """One line per size of batch."""
    steps = [opened(name, gpu=False), *([opened(name, gpu=True)] if gpu else [])]
    headings = "rows per batch", "CPU, µs per row", "GPU, µs per row", "GPU is faster by"
    table = Table(*headings, title=name)
    for rows in ROWS:
        cpu, *others = (us_per_row(step, rows, rounds) for step in steps)
        cells = [f"{other:.2f}" for other in others] + [f"{cpu / other:.1f} x" for other in others]
        table.add_row(f"{rows:,}", f"{cpu:.2f}", *(cells or ["–", "–"]))
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The step inference on a GPU, beside the CPU.")
    parser.add_argument("--rounds", type=int, default=20)
    rounds: int = parser.parse_args().rounds
    console = Console(width=120)
    for name, value in describe_machine():
        console.print(f"{name}: {value}", highlight=False)
    gpu = has_gpu()
    if gpu:
        console.print(f"GPU: {device()}", highlight=False)
    for name in NAMES:
        console.print(measured(name, rounds, gpu=gpu))
    if not gpu:
        there = ", ".join(onnxruntime.get_available_providers())
        console.print(
            f"No GPU: no session starts on {CUDA}; this ONNX Runtime has {there}. "
            "docs/gpu.md says how to install what is missing."
        )


if __name__ == "__main__":
    main()
