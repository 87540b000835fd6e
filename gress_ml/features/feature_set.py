"""FeatureSet: from the columns of a batch to the feature vector, by the same code everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from gress_ml.batch import Batch
from gress_ml.errors import SchemaError
from gress_ml.expression import Program
from gress_ml.features.plan import Step, plan_of, steps_of
from gress_ml.features.spec import Aggregation, AnyFeature, FeatureSetSpec
from gress_ml.features.state import FeatureState
from gress_ml.features.values import Work
from gress_ml.operator import Rejected
from gress_ml.schema import Columns, ColumnType, FeatureVector

Float32 = npt.NDArray[np.float32]

#: Column types that serve where a type is needed.
FITS: Mapping[ColumnType, frozenset[ColumnType]] = {
    ColumnType.FLOAT: frozenset(
        {ColumnType.FLOAT, ColumnType.INT, ColumnType.BOOL, ColumnType.TIMESTAMP}
    ),
    ColumnType.BOOL: frozenset({ColumnType.BOOL, ColumnType.INT, ColumnType.FLOAT}),
    ColumnType.STRING: frozenset({ColumnType.STRING}),
    ColumnType.TIMESTAMP: frozenset({ColumnType.TIMESTAMP, ColumnType.INT, ColumnType.FLOAT}),
}


@lru_cache(maxsize=64)  # each partition of a worker reads that of its model
def _read(data: bytes | str) -> FeatureSet:
    try:
        return FeatureSet(FeatureSetSpec.model_validate_json(data))
    except ValidationError as error:
        raise SchemaError(f"not a feature schema: {error}") from None


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One value of the vector: its name and the feature that it belongs to."""

    name: str
    feature: AnyFeature

    @property
    def type(self) -> str:
        """The transform, as ``numerical``."""
        return self.feature.type

    @property
    def unit(self) -> str:
        """Unit of the value before the transform."""
        return self.feature.unit


class FeatureSet:
    """The same rows give the same vectors, in training and in serving, however they are batched.

    Features are computed in the order of what they need: those that read columns only, then those
    whose expressions read other features; aggregations as late as that allows, so that a row which
    another feature rejects is not counted. Raises SchemaError for a specification that does not
    hold together.
    """

    def __init__(self, spec: FeatureSetSpec) -> None:
        self.spec = spec
        program = Program()
        self._steps = steps_of(spec, program)
        self._plan = plan_of(self._steps, program)
        self._aggregations = [f for f in spec.features if isinstance(f, Aggregation)]
        #: One entry per value of the vector, in order.
        self.columns: tuple[FeatureColumn, ...] = tuple(
            FeatureColumn(name, step.feature) for step in self._steps for name in step.names
        )
        self.vector = FeatureVector(tuple(c.name for c in self.columns), spec.fingerprint)
        #: Input columns and the type that each is used as.
        self.needs: Mapping[str, ColumnType] = MappingProxyType(_needs(self._steps))
        #: Values in the vector per transform, as ``{"numerical": 14}``.
        self.types: Mapping[str, int] = Counter(column.type for column in self.columns)

    @classmethod
    def from_json(cls, data: bytes | str) -> FeatureSet:
        """The set that ``to_json`` wrote: one object for one text. Raises SchemaError."""
        return _read(data)

    def to_json(self) -> str:
        """The specification, for the file ``feature_schema.json`` of a bundle."""
        return self.spec.model_dump_json(indent=2, exclude_defaults=True)

    @property
    def name(self) -> str:
        """The set's name, for people and metrics."""
        return self.spec.name

    @property
    def reads(self) -> frozenset[str]:
        """The input columns that ``transform`` uses."""
        return frozenset(self.needs)

    @property
    def stateful(self) -> bool:
        """Whether the values depend on earlier rows."""
        return bool(self._aggregations)

    def new_state(self) -> FeatureState:
        """The state before the first row."""
        return FeatureState(self._aggregations)

    def check(self, columns: Columns) -> None:
        """Raises SchemaError when these columns cannot be transformed: all faults together."""
        faults = [
            fault
            for step in self._steps
            for name, wanted in step.columns.items()
            if (fault := _fault(step, name, wanted, columns))
        ]
        if faults:
            raise SchemaError("\n".join(faults))

    def transform(
        self, batch: Batch, state: FeatureState | None = None
    ) -> tuple[Float32, list[Rejected]]:
        """The vectors of a batch, float32 of shape (n, width), and the rows that are rejected.

        A rejected row keeps its place, with NaN throughout. ``state`` goes on from row to row and
        is changed; without one the batch stands alone. Raises SchemaError when a column is absent
        or holds the wrong type. Codes: ``missing_feature``, ``out_of_range``, ``unknown_category``.
        """
        columns, values = batch.copied_columns(), self._plan.program.values(len(batch))
        work = Work(batch, state or self.new_state(), columns, values)
        matrix = np.zeros((self._plan.rows, len(batch)))
        with np.errstate(all="ignore"):
            try:
                for stage in self._plan.stages:
                    stage.run(work, matrix)
            except KeyError as error:
                raise SchemaError(f"feature set {self.name!r}: no column {error}") from None
            vectors = matrix.take(self._plan.order, axis=0).T.astype(np.float32, order="C")
        if not work.rejected:
            return vectors, []
        rows = sorted(work.rejected)
        vectors[rows] = np.nan
        return vectors, [work.rejected[row] for row in rows]


def _needs(steps: list[Step]) -> dict[str, ColumnType]:
    """Input columns with the type that each is used as. Raises SchemaError for a contradiction."""
    needs: dict[str, ColumnType | None] = {}
    for step in steps:
        for name, wanted in step.columns.items():
            known = needs.get(name)
            if known is None or wanted is None or known is wanted:
                needs[name] = known or wanted
            elif known in FITS[wanted]:
                needs[name] = known
            elif wanted in FITS[known]:
                needs[name] = wanted
            else:
                raise SchemaError(
                    f"feature {step.feature.name!r}: column {name!r} is used as {wanted} here "
                    f"and as {known} further up"
                )
    return {name: wanted or ColumnType.STRING for name, wanted in needs.items()}


def _fault(step: Step, name: str, wanted: ColumnType | None, columns: Columns) -> str | None:
    if name not in columns:
        near = get_close_matches(name, columns, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"feature {step.feature.name!r}: there is no column {name!r}{hint}"
    found = columns[name].type
    if wanted is None:
        fits = found not in (ColumnType.VECTOR, ColumnType.JSON)
    elif step.feature.type in ("categorical", "onehot") and step.place is None:
        fits = found in (ColumnType.STRING, ColumnType.INT, ColumnType.BOOL)
    else:
        fits = found in FITS[wanted]
    needed = wanted or "one value per row"
    return None if fits else f"feature {step.feature.name!r}: {name!r} is {found}, not {needed}"
