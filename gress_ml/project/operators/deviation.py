"""deviation: how far a measured value is from what it should be, in tolerances.

Reads a value and the kind of measurement that it is, and adds the distance from the kind's target,
divided by the kind's tolerance: beyond -1 or 1 the value is out of tolerance. A row without a value
is rejected as ``no_value``, one of a kind that has no target as ``unknown_kind``.

On replay: stateless; what comes out is a function of the row and the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from gress_ml import (
    Batch,
    Column,
    Columns,
    ColumnType,
    Example,
    Operator,
    OperatorConfig,
    Output,
    Rejected,
    SchemaError,
    columns_of,
)


class Target(OperatorConfig):
    target: float
    """What the value should be."""
    tolerance: float = Field(gt=0)
    """How far from the target it may be."""


class DeviationConfig(OperatorConfig):
    targets: Mapping[str, Target] = Field(min_length=1)
    """Target and tolerance of each kind of measurement."""
    value: str = "value"
    """Column with the measured value."""
    kind: str = "kind"
    """Column with the kind of measurement."""
    output: str = "deviation"
    """Column that gets the deviation."""


class Deviation(Operator[DeviationConfig]):
    """Tells how far a measured value is from its target, in tolerances."""

    name: ClassVar[str] = "deviation"
    Config: ClassVar[type[OperatorConfig]] = DeviationConfig

    def reads(self) -> frozenset[str]:
        return frozenset({self.config.value, self.config.kind})

    def signature(self, columns: Columns) -> Columns:
        needed = {self.config.value: ColumnType.FLOAT, self.config.kind: ColumnType.STRING}
        for name, type_ in needed.items():
            if name not in columns or columns[name].type is not type_:
                raise SchemaError(f"deviation needs a column {name!r} of type {type_}")
        return columns_of([*columns.values(), Column(self.config.output, ColumnType.FLOAT)])

    def process(self, batch: Batch) -> Output:
        values, kinds = batch[self.config.value], batch[self.config.kind].tolist()
        found = [self.config.targets.get(kind) for kind in kinds]
        target = np.array([one.target if one else np.nan for one in found])
        tolerance = np.array([one.tolerance if one else np.nan for one in found])
        made = batch.with_columns({self.config.output: (values - target) / tolerance})
        sound = np.isfinite(values) & np.isfinite(target)
        rejected = [self._rejected(batch, row) for row in np.flatnonzero(~sound).tolist()]
        return Output(made.take(sound), rejected)

    def _rejected(self, batch: Batch, row: int) -> Rejected:
        offset, kind = int(batch.offsets[row]), batch[self.config.kind][row]
        if kind in self.config.targets:
            return Rejected(offset, "no_value", f"{self.config.value!r} has no value")
        known = ", ".join(sorted(self.config.targets))
        return Rejected(offset, "unknown_kind", f"no target for {kind!r}; there are: {known}")


Deviation.examples = (
    Example(
        title="In tolerance, out of it, without a value, and of a kind without a target",
        config={"targets": {"pressure": {"target": 5.0, "tolerance": 0.5}}},
        columns=columns_of(
            [
                Column("value", ColumnType.FLOAT, nullable=True),
                Column("kind", ColumnType.STRING, nullable=True),
            ]
        ),
        rows=(
            {"value": 5.25, "kind": "pressure"},
            {"value": 3.0, "kind": "pressure"},
            {"value": None, "kind": "pressure"},
            {"value": 5.0, "kind": "humidity"},
        ),
        expected=({"deviation": 0.5}, {"deviation": -4.0}),
        rejected={2: "no_value", 3: "unknown_kind"},
    ),
)
