"""TfliteGraph: a TFLite file in LiteRT's interpreter, on one thread behind one lock."""

from __future__ import annotations

import copy
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gress_ml.errors import ModelCorrupt, ModelError
from gress_ml.inference.graph import Array, Tensor, blank, fit, named
from gress_ml.inference.tflite_trial import trial

Detail = dict[str, Any]  # of a tensor: index, shape, dtype, quantization
_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


def _runtime() -> Any:
    """The interpreter's module: LiteRT, or its predecessor where only that is there."""
    for name in _RUNTIMES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ModelError(f"a TFLite model needs one of {_RUNTIMES}: pip install ai-edge-litert")


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Standard error is closed to LiteRT's C++ side for a moment.

    It prints there that it made its delegate, and has no setting to keep quiet; what goes wrong
    comes as an exception all the same.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _Interpreter:
    """The interpreter with its lock, which all graphs on it share. Not thread-safe by itself."""

    def __init__(self, path: Path, *, xnnpack: bool) -> None:
        runtime = _runtime()
        if ending := trial(path, runtime.__name__, xnnpack=xnnpack):
            raise ValueError(ending)
        options: dict[str, Any] = {"model_path": str(path), "num_threads": 1}
        if not xnnpack:
            kind = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            options["experimental_op_resolver_type"] = kind
        self._inner = runtime.Interpreter(**options)
        self._rows = 0
        self._lock = threading.Lock()
        self.inputs: list[Detail] = self._inner.get_input_details()
        self.outputs: list[Detail] = self._inner.get_output_details()
        self._indices = [detail["index"] for detail in self.inputs]
        with _without_chatter():
            self.resize(2)
        for detail in self._inner.get_output_details():
            if len(detail["shape"]) == 0 or detail["shape"][0] != 2:
                raise ValueError(f"output {detail['name']} does not follow the batch size")

    def resize(self, rows: int) -> None:
        self._rows = 0  # until it worked
        for detail in self.inputs:
            self._inner.resize_tensor_input(detail["index"], [rows, *detail["shape"][1:]])
        self._inner.allocate_tensors()
        self._rows = rows

    def run(self, arrays: Sequence[Array], outputs: Sequence[Detail]) -> list[Array]:
        with self._lock:
            if len(arrays[0]) != self._rows:
                self.resize(len(arrays[0]))
            for index, array in zip(self._indices, arrays, strict=True):
                self._inner.set_tensor(index, array)
            self._inner.invoke()
            return [self._inner.get_tensor(detail["index"]) for detail in outputs]


class TfliteGraph:
    """A TFLite file. Integer-quantised inputs and outputs are converted from and to float32.

    One interpreter, resized when the batch size changes: that costs about 4 µs, while one per
    size costs memory for each and padding to fixed sizes up to twice the work.
    """

    def __init__(self, path: Path, *, xnnpack: bool = True) -> None:
        self._path = path
        try:
            self._interpreter = _Interpreter(path, xnnpack=xnnpack)
        except (ValueError, RuntimeError, OSError) as error:
            raise ModelCorrupt(
                f"{path}: expected a TFLite model whose batch size can change, found: {error}. "
                "Convert the model again, with a batch size of None."
            ) from error
        self._out = self._interpreter.outputs
        self.inputs = tuple(_tensor(detail) for detail in self._interpreter.inputs)
        self.outputs = tuple(_tensor(detail) for detail in self._out)
        self._quantised = any(map(_scale, [*self._interpreter.inputs, *self._out]))

    def only(self, output: str) -> TfliteGraph:
        index = named(self.outputs, output, str(self._path))
        graph = copy.copy(self)
        graph._out, graph.outputs = [self._out[index]], (self.outputs[index],)
        return graph

    def run(self, *arrays: Array) -> list[Array]:
        if len(arrays[0]) == 0:
            return [blank(tensor, 0) for tensor in self.outputs]
        fitted = [fit(t, array) for t, array in zip(self.inputs, arrays, strict=True)]
        if self._quantised:
            fitted = [*map(_quantised, self._interpreter.inputs, fitted)]
        try:
            answers = self._interpreter.run(fitted, self._out)
        except (ValueError, RuntimeError) as error:
            shapes = [array.shape for array in fitted]
            raise ModelError(f"{self._path}: failed on inputs of {shapes}: {error}") from error
        return [*map(_dequantised, self._out, answers)] if self._quantised else answers


def _tensor(detail: Detail) -> Tensor:
    name = detail["name"].removeprefix("serving_default_").removesuffix(":0")
    dtype = np.dtype(np.float32) if _scale(detail) else np.dtype(detail["dtype"])
    return Tensor(name, dtype, (None, *(int(size) for size in detail["shape"][1:])))


def _scale(detail: Detail) -> float:
    """The quantisation's scale; 0 when the tensor is not quantised."""
    return float(detail["quantization"][0])


def _quantised(detail: Detail, array: Array) -> Array:
    scale, zero = detail["quantization"]
    if not scale:
        return array
    limits = np.iinfo(detail["dtype"])
    steps = np.rint(array / np.float32(scale)) + np.float32(zero)
    return np.clip(steps, limits.min, limits.max).astype(detail["dtype"])


def _dequantised(detail: Detail, array: Array) -> Array:
    scale, zero = detail["quantization"]
    if not scale:
        return array
    return (array.astype(np.float32) - np.float32(zero)) * np.float32(scale)
