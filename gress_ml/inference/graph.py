"""Graph: what an ONNX or TFLite file is once loaded. Arrays in, arrays out, one call per batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gress_ml.errors import ModelError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: its name, type (object for strings) and shape, the batch axis first."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]  # None: any size

    @property
    def width(self) -> int | None:
        """Values per row; None when the graph does not say."""
        rest = self.shape[1:]
        if any(size is None for size in rest):
            return None
        return int(np.prod([size for size in rest if size is not None], dtype=np.int64))

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name} {'string' if self.dtype == object else self.dtype}[{sizes}]"


class Graph(Protocol):
    """A loaded model file. Safe to call from several threads."""

    def only(self, output: str) -> Graph:
        """The same graph, computing this output alone. Raises ModelError when it has none such."""
        ...

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The inputs, in the order of ``run``'s arguments."""
        ...

    @property
    def outputs(self) -> Sequence[Tensor]:
        """The outputs, in the order of ``run``'s answer."""
        ...

    def run(self, *arrays: Array) -> list[Array]:
        """One call on a batch. Raises ModelError. The arrays given are not kept."""
        ...


def named(tensors: Sequence[Tensor], name: str, source: str) -> int:
    """Where the tensor of this name is. Raises ModelError."""
    for index, tensor in enumerate(tensors):
        if tensor.name == name:
            return index
    known = [tensor.name for tensor in tensors]
    raise ModelError(f"{source}: there is no output {name!r}; the graph has {known}")


def fit(tensor: Tensor, array: Array) -> Array:
    """The array as this input wants it: its type, contiguous, its number of axes.

    A column of shape (n,) fits an input of (n, 1), a vector of (n, a * b) one of (n, a, b).
    """
    array = np.ascontiguousarray(array, tensor.dtype)
    if array.ndim != len(tensor.shape):
        try:
            array = array.reshape(len(array), *(-1 if s is None else s for s in tensor.shape[1:]))
        except ValueError as error:
            raise ModelError(f"input {tensor}: an array of shape {array.shape} fits not") from error
    return array


def blank(tensor: Tensor, rows: int) -> Array:
    """Zeros, or empty strings, for this input; axes of any size get one value."""
    shape = (rows, *(1 if size is None else size for size in tensor.shape[1:]))
    return np.full(shape, "" if tensor.dtype == object else 0, tensor.dtype)
