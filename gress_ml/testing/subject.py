"""Subject: one operator with one of its examples, ready to be run again and again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gress_ml.batch import Batch
from gress_ml.operator import Context, Example, Operator, Output
from gress_ml.ports import ModelStore
from gress_ml.registry import Registry
from gress_ml.schema import Columns
from gress_ml.testing.harness import NoModels, run_batch
from gress_ml.testing.rows import batch_of


@dataclass(frozen=True, slots=True)
class Subject:
    """What the checks look at."""

    operator_class: type[Operator[Any]]
    example: Example

    @property
    def _models(self) -> ModelStore:
        if not self.example.models:
            return NoModels()
        file = sys.modules[self.operator_class.__module__].__file__
        assert file is not None
        return Registry(Path(file).parent / self.example.models)

    def fresh(self) -> Operator[Any]:
        """A new operator with the example's config, open."""
        config = self.operator_class.Config.model_validate(self.example.config)
        operator = self.operator_class(config)
        operator.open(Context(self._models, "contract", "step", self.example.columns))
        return operator

    def batch(self) -> Batch:
        """The example's rows, with keys, and with offsets that have gaps as after a compaction."""
        batch = batch_of(self.example.rows, self.example.columns)
        rows = np.arange(len(batch))
        keys = [f"key-{row * row % 3}".encode() for row in rows.tolist()]
        return replace(batch, offsets=100 + rows * 3, keys=keys, partition=7, topic="contract")

    def signature(self, operator: Operator[Any]) -> Columns:
        """The columns that the operator says come out."""
        return operator.signature(self.example.columns)

    def run(self, batch: Batch) -> Output:
        """One batch through a new operator."""
        operator = self.fresh()
        try:
            return run_batch(operator, batch)
        finally:
            operator.close()

    def run_parts(self, parts: Sequence[Batch]) -> list[Output]:
        """Batches one after the other through one new operator."""
        operator = self.fresh()
        try:
            return [run_batch(operator, part) for part in parts]
        finally:
            operator.close()


def cut(batch: Batch, at: int) -> tuple[Batch, Batch]:
    """The rows before and the rows from a cut on."""
    rows = np.arange(len(batch))
    return batch.take(rows[:at]), batch.take(rows[at:])
