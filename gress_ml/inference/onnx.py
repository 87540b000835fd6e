"""OnnxGraph: any ONNX graph with a dynamic batch axis, in ONNX Runtime on one thread."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.inference.gpu import Gpu
from gress_ml.inference.graph import Array, Tensor, fit, named
from gress_ml.inference.sessions import provider_of, sessions_on

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


class OnnxGraph:
    """An ONNX file; all its outputs, or ``only`` one of them.

    On the CPU rows do not depend on how the batch was cut, bit for bit, for the operators tried;
    :func:`gress_ml.inference.stable.stable` checks it for each graph.
    """

    def __init__(self, path: Path, gpu: Gpu | None = None) -> None:
        self._path = path
        self._sessions = sessions_on(path, gpu)
        first = self._sessions[0]
        #: What runs it: ``CUDAExecutionProvider``, or ``CPUExecutionProvider``.
        self.provider = provider_of(first)
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
