"""RiverPredictor: a learner as it was published, asked row by row. It learns nothing here."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.errors import ModelCorrupt, ModelError, SchemaError, SnapshotError
from gress_ml.inference.graph import Array, Tensor
from gress_ml.learning.river_file import RiverFile, read_river_file
from gress_ml.learning.task import task_of
from gress_ml.schema import FeatureVector

Float32 = npt.NDArray[np.float32]

_DTYPES = {"float": np.float64, "int": np.int64, "bool": np.bool_, "string": object}


class RiverPredictor:
    """One input for a vector of features, else one per column. Missing values are left out of a
    row where the learner learned so."""

    def __init__(self, path: Path, classes: tuple[str, ...]) -> None:
        try:
            self._file, estimator = read_river_file(path.read_bytes())
            self._task = task_of(estimator, self._file.classes)
        except (SnapshotError, SchemaError) as error:
            raise ModelCorrupt(f"{path}: {error}") from error
        if classes != self._file.classes:
            raise ModelCorrupt(
                f"{path}: expected the classes {[*classes]} of the bundle, found those that it "
                f"learned: {[*self._file.classes]}"
            )
        self._path = path
        self._ask = self._task.asker(estimator)
        self._asking = threading.Lock()  # river's compiled parts hold what they read
        self.classes: tuple[str, ...] = classes
        self.inputs: tuple[Tensor, ...] = tuple(_inputs(self._file))
        self.accepts_missing = self._file.missing == "omit"

    @property
    def vector(self) -> FeatureVector | None:
        """The features that it learned; None where they came in columns."""
        if len(self._file.types) > 1 or not self._file.fingerprint:
            return None
        return FeatureVector(self._file.names, self._file.fingerprint)

    def predict(self, *arrays: Array) -> Float32:
        rows = self._rows(arrays)
        with self._asking:
            try:
                answers = [self._ask(row) for row in rows]
            except Exception as error:  # whatever river raises
                raise ModelError(f"{self._path}: {type(error).__name__}: {error}") from error
        return self._task.matrix(answers)

    def _rows(self, arrays: Sequence[Array]) -> list[dict[str, Any]]:
        if self._of_vector:
            values: Iterable[Sequence[Any]] = arrays[0].tolist()
        else:
            values = zip(*(array.tolist() for array in arrays), strict=True)
        names = self._file.names
        rows = [dict(zip(names, row, strict=True)) for row in values]
        if not self.accepts_missing:
            return rows
        return [{name: one for name, one in row.items() if one == one} for row in rows]

    @property
    def _of_vector(self) -> bool:
        return self._file.types == ("vector",)


def _inputs(file: RiverFile) -> list[Tensor]:
    if file.types == ("vector",):
        return [Tensor("features", np.dtype(np.float32), (None, len(file.names)))]
    unknown = [type_ for type_ in file.types if type_ not in _DTYPES]
    if unknown or len(file.types) != len(file.names):
        raise ModelCorrupt(f"a learner of columns of the types {[*file.types]}")
    return [
        Tensor(name, np.dtype(_DTYPES[type_]), (None,))
        for name, type_ in zip(file.names, file.types, strict=True)
    ]
