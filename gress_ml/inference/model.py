"""Model: a bundle to be asked about the rows of a batch: what it reads, and what it cannot take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gress_ml.batch import Array, Batch
from gress_ml.bundle import Bundle
from gress_ml.errors import SchemaError
from gress_ml.inference.build import Options
from gress_ml.inference.graph import Tensor
from gress_ml.inference.predictor import Predictor, load_predictor, warm_up
from gress_ml.operator import Rejected
from gress_ml.schema import Column, Columns, ColumnType, FeatureVector

Mask = npt.NDArray[np.bool_]
#: Kinds of graph input (NumPy's letters) that a column can serve.
_SERVES: Mapping[ColumnType, str] = {
    ColumnType.FLOAT: "f",
    ColumnType.INT: "fiu",
    ColumnType.BOOL: "fiub",
    ColumnType.TIMESTAMP: "iu",
    ColumnType.STRING: "O",
    ColumnType.VECTOR: "f",
}
#: Sizes of batch that a quiet topic makes.
_SMALL = (1, 2, 16)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's inputs come from: one vector column, or a column for each input."""

    reference: str  # how the model is called in the configuration
    features: str = "features"
    inputs: Mapping[str, str] | None = None  # input -> column


class Model:
    """A loaded bundle and the columns that it reads. Raises SchemaError where they do not fit."""

    def __init__(
        self, bundle: Bundle, options: Options, source: Source, vector: FeatureVector | None
    ) -> None:
        self.bundle = bundle
        self.predictor: Predictor = load_predictor(bundle, options)
        self.labels = (bundle.name, bundle.version)  # of metrics
        self.columns = _input_columns(self.predictor, source)
        self._source = source
        self._vector = vector or self.predictor.vector

    def warm_up(self, largest: int) -> None:
        """Try a lone row, a few and the largest batch once, where the bundle wants that."""
        if self.bundle.warm_up:
            warm_up(self.predictor, sorted({*_SMALL, largest}))

    def require(self, columns: Columns) -> None:
        """Raises SchemaError unless the columns can serve, and were made as in training."""
        for name, tensor in zip(self.columns, self.predictor.inputs, strict=True):
            _require_column(columns, name, tensor, self._source.reference)
        if self._source.inputs is None:
            column = columns[self.columns[0]]
            _require_features(column, self._vector, self.predictor.inputs[0], self.bundle)

    def arrays(self, batch: Batch) -> list[Array]:
        """The columns in the types of the inputs."""
        return [*map(_as_input, self.predictor.inputs, map(batch.__getitem__, self.columns))]

    def unusable(self, batch: Batch, arrays: Sequence[Array]) -> list[Rejected]:
        """Rows that the model cannot be asked about; ``arrays`` are those of the batch."""
        found: dict[int, Rejected] = {}
        for name, array in zip(self.columns, arrays, strict=True):
            for row, code, message in self._faults(name, batch[name], array):
                found.setdefault(row, rejected(batch, row, code, message))
        return [found[row] for row in sorted(found)]

    def _faults(self, name: str, column: Array, array: Array) -> Sequence[tuple[int, str, str]]:
        """Row, code and message for each value that the model cannot take."""
        if array.dtype == object:
            text = f"column {name!r} is missing"
            missing = (row for row, value in enumerate(column.tolist()) if value is None)
            return [(row, "missing_features", text) for row in missing]
        if array.dtype.kind != "f":
            text = f"column {name!r} does not fit into {array.dtype}"
            wide = np.flatnonzero(array != column).tolist()
            return [(row, "out_of_range", text) for row in wide]
        if np.isfinite(array).all():
            return ()
        return [*self._not_finite(name, array.reshape(len(array), -1))]

    def _not_finite(self, name: str, grid: Array) -> Iterator[tuple[int, str, str]]:
        for row in np.flatnonzero(~np.isfinite(grid).all(axis=1)).tolist():
            infinite, missing = np.isinf(grid[row]), np.isnan(grid[row])
            if infinite.any():
                yield row, "out_of_range", f"{self._called(name, infinite)} is infinite"
            elif not self.predictor.accepts_missing:
                text = f"{self._called(name, missing)} is missing and the model needs it"
                yield row, "missing_features", text

    def _called(self, name: str, which: Mask) -> str:
        """The first of these values, as people call it."""
        at = int(which.argmax())
        if len(which) == 1:
            return f"column {name!r}"
        if self._vector is not None:
            return f"feature {self._vector.names[at]!r}"
        return f"value {at} of column {name!r}"


def rejected(batch: Batch, row: int, code: str, message: str) -> Rejected:
    """A row of the batch as a reject."""
    return Rejected(int(batch.offsets[row]), code, message)


# --- columns --------------------------------------------------------------------------------------


def _input_columns(predictor: Predictor, source: Source) -> tuple[str, ...]:
    """The column for each input of the predictor, in its order."""
    listed = [str(tensor) for tensor in predictor.inputs]
    if source.inputs is None:
        if len(predictor.inputs) != 1:
            raise SchemaError(
                f"model {source.reference!r} has {len(listed)} inputs: name a column for each in "
                f"'inputs': {listed}"
            )
        return (source.features,)
    names = {tensor.name for tensor in predictor.inputs}
    if names != set(source.inputs):
        raise SchemaError(
            f"'inputs' names {sorted(source.inputs)}, model {source.reference!r} has inputs "
            f"{listed}"
        )
    return tuple(source.inputs[tensor.name] for tensor in predictor.inputs)


def _require_column(columns: Columns, name: str, tensor: Tensor, model: str) -> None:
    column = columns.get(name)
    if column is None:
        raise SchemaError(
            f"no column {name!r} for input {tensor} of model {model!r}: there are {sorted(columns)}"
        )
    if tensor.dtype.kind not in _SERVES.get(column.type, ""):
        raise SchemaError(
            f"column {name!r} is of type {column.type.value}, which cannot serve input {tensor} "
            f"of model {model!r}"
        )


def _require_features(
    column: Column, vector: FeatureVector | None, tensor: Tensor, bundle: Bundle
) -> None:
    """The vector must be the one that the model was trained on. Raises SchemaError."""
    found = column.features
    width = len(found.names) if found else None
    if width is not None and tensor.width not in (None, width):
        raise SchemaError(
            f"column {column.name!r} has {width} features, input {tensor} of model {bundle.name} "
            f"{bundle.version} takes {tensor.width}{_difference(found, vector)}"
        )
    wanted = bundle.manifest.feature_fingerprint or (vector.fingerprint if vector else "")
    if wanted and (found is None or found.fingerprint != wanted):
        raise SchemaError(
            f"column {column.name!r} was not made by the feature schema of model {bundle.name} "
            f"{bundle.version}{_difference(found, vector)}. Name the same model in the step that "
            "makes the features"
        )


def _difference(found: FeatureVector | None, wanted: FeatureVector | None) -> str:
    if found is None or wanted is None:
        return ""
    for at in range(max(len(found.names), len(wanted.names))):
        here, there = found.names[at : at + 1], wanted.names[at : at + 1]
        if here != there:
            return (
                f": feature {at} is {here[0] if here else 'missing'!r}, "
                f"expected {there[0] if there else 'none'!r}"
            )
    return ": the names are the same, and a transform, parameter or vocabulary differs"


def _as_input(tensor: Tensor, column: Array) -> Array:
    """The column in the input's type; what is too large for a float becomes infinite."""
    if column.dtype == tensor.dtype:
        return column
    with np.errstate(over="ignore"):
        return column.astype(tensor.dtype)
