"""Answers that do not depend on how the stream was cut into batches: checked, and mended if not.

ONNX Runtime and LiteRT with XNNPACK give a row the same bits in every batch (measured with dense,
convolutional, quantised and tree graphs). LiteRT without XNNPACK, and cuDNN's convolutions on GPUs
(measured on an H100), use other kernels for other sizes and differ in the last bits: enough to flip
a decision at a tie. Such a graph runs in blocks of one fixed size, and so does each on a GPU, where
no trial of some sizes tells what the libraries choose for the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gress_ml.errors import ModelCorrupt
from gress_ml.inference.graph import Array, Graph, Tensor

SIZES = (1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 64, 100)
BLOCKS = (32, 16, 8, 4)
#: On a GPU a call costs its launch: 256 rows hardly take longer than one.
GPU_BLOCKS = (256, *BLOCKS)
#: Rounding differs far less than this; more means that rows look at each other, or at dice.
ROUNDING = 1e-3
_SEED = 20261121


class FixedBlocks:
    """A graph that only ever sees batches of ``rows`` rows; the last block is filled up."""

    def __init__(self, graph: Graph, rows: int) -> None:
        self._graph = graph
        self.rows = rows
        self.inputs: Sequence[Tensor] = graph.inputs
        self.outputs: Sequence[Tensor] = graph.outputs

    def only(self, output: str) -> FixedBlocks:
        return FixedBlocks(self._graph.only(output), self.rows)

    def run(self, *arrays: Array) -> list[Array]:
        count = len(arrays[0])
        if count == 0:
            return self._graph.run(*arrays)
        parts = [self._block(arrays, start) for start in range(0, count, self.rows)]
        return [np.concatenate(columns)[:count] for columns in zip(*parts, strict=True)]

    def _block(self, arrays: Sequence[Array], start: int) -> list[Array]:
        index = np.arange(start, start + self.rows)
        index[index >= len(arrays[0])] = start  # fill with a row that is there: always a valid one
        return self._graph.run(*(array[index] for array in arrays))


def stable(graph: Graph, name: str, *, on_gpu: bool = False) -> Graph:
    """The graph, or the graph in fixed blocks where its answers may depend on the batch size.

    Raises ModelCorrupt when rows depend on each other, or on chance: no cut would mend that.
    """
    rows = sample(graph.inputs)
    alone = _one_by_one(graph, rows, name)
    _require_rows_apart(graph, rows, alone, name)
    if not on_gpu and all(_equal(_head(alone, n), graph.run(*_head(rows, n))) for n in SIZES):
        return graph
    for size in GPU_BLOCKS if on_gpu else BLOCKS:
        mended = FixedBlocks(graph, size)
        if _same_at_every_place(mended, sample(graph.inputs, max(size, len(rows[0])))):
            return mended
    return FixedBlocks(graph, 1)


def sample(inputs: Sequence[Tensor], count: int = max(SIZES)) -> list[Array]:
    """Made-up rows for these inputs; the same on every run."""
    random = np.random.default_rng(_SEED)
    rows = []
    for tensor in inputs:
        shape = (count, *(1 if size is None else size for size in tensor.shape[1:]))
        if tensor.dtype == object:
            rows.append(np.full(shape, "", object))
        elif tensor.dtype.kind == "f":
            rows.append(random.normal(0, 2, shape).astype(tensor.dtype))
        else:
            rows.append(random.integers(0, 2, shape).astype(tensor.dtype))
    return rows


def _one_by_one(graph: Graph, rows: list[Array], name: str) -> list[Array]:
    parts = [graph.run(*(array[i : i + 1] for array in rows)) for i in range(len(rows[0]))]
    columns = [*zip(*parts, strict=True)]
    for tensor, column in zip(graph.outputs, columns, strict=True):
        shapes = {answer.shape for answer in column}
        if len(shapes) > 1 or column[0].shape[:1] != (1,):
            raise ModelCorrupt(
                f"{name}: output {tensor} has the shapes {sorted(shapes)} for one row each, "
                "expected one row each, of one shape."
            )
    return [np.concatenate(column) for column in columns]


def _require_rows_apart(graph: Graph, rows: list[Array], alone: list[Array], name: str) -> None:
    together = graph.run(*rows)
    for tensor, one, many in zip(graph.outputs, alone, together, strict=True):
        if one.shape != many.shape:
            raise ModelCorrupt(
                f"{name}: output {tensor} has shape {many.shape} for {len(rows[0])} rows, "
                f"expected {one.shape}: it does not follow the batch."
            )
        if one.dtype.kind == "f" and not np.allclose(one, many, ROUNDING, ROUNDING, equal_nan=True):
            raise ModelCorrupt(
                f"{name}: output {tensor} answers differently for the same row alone and in a "
                "batch, expected rows that do not depend on each other or on chance. "
                "Export the model in inference mode."
            )


def _same_at_every_place(blocks: FixedBlocks, rows: list[Array]) -> bool:
    """Whether a row's answer is the same wherever in a block it stands."""
    base = blocks.run(*rows)
    for shift in range(1, blocks.rows):
        moved = blocks.run(*(np.roll(array, shift, axis=0) for array in rows))
        if not _equal(base, [np.roll(array, -shift, axis=0) for array in moved]):
            return False
    return True


def _head(arrays: list[Array], count: int) -> list[Array]:
    return [array[:count] for array in arrays]


def _equal(first: list[Array], second: list[Array]) -> bool:
    return all(
        np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
        for one, two in zip(first, second, strict=True)
    )
