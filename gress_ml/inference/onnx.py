"""OnnxGraph: any ONNX graph with a dynamic batch axis, in ONNX Runtime on one thread."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.inference.gpu import Gpu
from gress_ml.inference.graph import Array, Tensor, fit, named

_log = logging.getLogger(__name__)
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_ERRORS_ONLY = 3
_DTYPES: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}

ort.set_default_logger_severity(_ERRORS_ONLY)
ort.disable_telemetry_events()


class OnnxGraph:
    """An ONNX file; all its outputs, or ``only`` one of them.

    On the CPU rows do not depend on how the batch was cut, bit for bit, for the operators tried;
    :func:`gress_ml.inference.stable.stable` checks it for each graph.
    """

    def __init__(self, path: Path, gpu: Gpu | None = None) -> None:
        self._path = path
        self._sessions = [_session(path, providers) for providers in _providers(gpu)]
        first = self._sessions[0]
        #: What runs each session: ``CUDAExecutionProvider``, or ``CPUExecutionProvider``.
        self.providers: tuple[str, ...] = tuple(one.get_providers()[0] for one in self._sessions)
        if gpu is not None:
            _tell(path, self.providers, gpu)
        self.inputs = tuple(_tensor(path, node) for node in first.get_inputs())
        self.outputs = tuple(_tensor(path, node) for node in first.get_outputs())
        for tensor in self.inputs:
            _require_dynamic_batch(path, tensor)
        self._output_names = [tensor.name for tensor in self.outputs]
        self._turn = itertools.cycle(self._sessions)
        self._only = first if len(self._sessions) == 1 else None

    def only(self, output: str) -> OnnxGraph:
        graph = copy.copy(self)
        graph.outputs = (self.outputs[named(self.outputs, output, str(self._path))],)
        graph._output_names = [output]
        return graph

    def run(self, *arrays: Array) -> list[Array]:
        feeds = {t.name: fit(t, array) for t, array in zip(self.inputs, arrays, strict=True)}
        session = self._only or next(self._turn)
        try:
            answer: list[Array] = session.run(self._output_names, feeds)
        except Exception as error:  # ONNX Runtime's own types are not public
            shapes = {name: array.shape for name, array in feeds.items()}
            raise ModelError(f"{self._path}: failed on inputs of {shapes}: {error}") from error
        return answer


def _session(path: Path, providers: list[Any]) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    # A spinning pool makes unrelated NumPy code in the process many times slower.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's own types are not public
        raise ModelCorrupt(
            f"{path}: expected an ONNX graph that ONNX Runtime {ort.__version__} can load, "
            f"found: {error}. Export the model again."
        ) from error


def _providers(gpu: Gpu | None) -> list[list[Any]]:
    """The providers of each session: one session per device, or one on the CPU."""
    if gpu is None:
        return [[_CPU]]
    if _CUDA not in ort.get_available_providers():
        return [[_CPU]]
    return [[(_CUDA, {"device_id": device}), _CPU] for device in gpu.device_ids]


def _tell(path: Path, providers: Sequence[str], gpu: Gpu) -> None:
    """Say where a graph runs that was to run on a GPU."""
    if all(provider == _CUDA for provider in providers):
        _log.info("%s runs on the CUDA devices %s", path, list(gpu.device_ids))
    elif _CUDA in ort.get_available_providers():  # no driver, or no such device
        _log.warning("enable_gpu is set and CUDA did not start: running on the CPU")
    else:
        _log.warning("enable_gpu is set and this ONNX Runtime has no CUDA: running on the CPU")


def _tensor(path: Path, node: Any) -> Tensor:
    if node.type.startswith("seq(map("):
        raise ModelCorrupt(
            f"{path}: output {node.name!r} is a list of maps, expected a tensor. "
            "Export again without ZipMap (skl2onnx: options={'zipmap': False})."
        )
    if node.type not in _DTYPES:
        raise ModelCorrupt(f"{path}: {node.name!r} has type {node.type}, expected a tensor.")
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return Tensor(node.name, np.dtype(_DTYPES[node.type]), shape)


def _require_dynamic_batch(path: Path, tensor: Tensor) -> None:
    if not tensor.shape or tensor.shape[0] is not None:
        raise ModelCorrupt(
            f"{path}: input {tensor} has a fixed batch size, expected a dynamic first axis. "
            "Export again with a dynamic batch axis (torch: dynamic_axes, tf2onnx: shape [None, …])"
        )
