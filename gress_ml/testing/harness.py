"""Harness: run rows through an operator without Kafka, in a test or a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gress_ml.batch import Array, Batch
from gress_ml.bundle import Bundle
from gress_ml.errors import ModelNotFound
from gress_ml.operator import Context, Lookup, Operator, Output, Write
from gress_ml.ports import ModelStore
from gress_ml.registry import Registry
from gress_ml.schema import Columns
from gress_ml.testing.rows import Row, batch_of, rows_of


class NoModels:
    """A model store without models."""

    def find(self, name: str, reference: str = "champion") -> Bundle:
        """Raises ModelNotFound."""
        raise ModelNotFound(f"no model {name!r} {reference!r}: the harness was given no models")

    def open_folder(self, folder: Path) -> Bundle:
        """Raises ModelNotFound."""
        raise ModelNotFound(f"no model in {folder}: the harness was given no models")


@dataclass(slots=True)
class Rows:
    """A feature store in a dictionary: table, key, field."""

    tables: dict[str, dict[bytes, dict[str, float]]] = field(default_factory=dict)

    def answer(self, lookup: Lookup) -> Array:
        """The rows that are asked for, NaN where there is none."""
        table = self.tables.get(lookup.table, {})
        answer = np.full((len(lookup.keys), len(lookup.fields)), np.nan, np.float32)
        for row, key in enumerate(lookup.keys):
            answer[row] = [table.get(key, {}).get(name, np.nan) for name in lookup.fields]
        return answer

    def write(self, write: Write) -> None:
        """Keep the rows."""
        table = self.tables.setdefault(write.table, {})
        for key, row in zip(write.keys, write.rows.tolist(), strict=True):
            table[key] = dict(zip(write.fields, row, strict=True))


def run_batch(operator: Operator[Any], batch: Batch, store: Rows | None = None) -> Output:
    """One batch through an open operator: its lookups answered, then processed."""
    store = store or Rows()
    answers = {lookup.name: store.answer(lookup) for lookup in operator.lookups(batch)}
    return operator.process(batch.with_columns(answers) if answers else batch)


@dataclass(frozen=True, slots=True)
class Result:
    """What came out: rows as dictionaries, reject codes by row number, and the last Output."""

    rows: list[dict[str, Any]]
    rejected: dict[int, str]
    output: Output


class Harness:
    """An open operator that takes dictionaries; state goes on from run to run.

    ``config`` is checked as in a topology. ``store`` answers lookups and takes writes. Raises
    ValidationError for a bad config, SchemaError when the columns do not fit, ModelError.
    """

    def __init__(
        self,
        operator_class: type[Operator[Any]],
        config: Mapping[str, Any],
        columns: Columns,
        models_dir: Path | None = None,
        *,
        store: Rows | None = None,
        key: str | None = None,
    ) -> None:
        models: ModelStore = NoModels() if models_dir is None else Registry(models_dir)
        self.operator = operator_class(operator_class.Config.model_validate(config))
        self.operator.open(Context(models, "test", "step", columns))
        self.columns = columns
        self.signature = self.operator.signature(columns)
        self.store = store or Rows()
        self._key = key
        self._offset = 0

    def run(self, rows: Sequence[Row]) -> Result:
        """These rows as the next batch."""
        batch = batch_of(rows, self.columns, key=self._key, first_offset=self._offset)
        first, self._offset = self._offset, self._offset + len(rows)
        output = run_batch(self.operator, batch, self.store)
        for write in output.writes:
            self.store.write(write)
        rejected = {row.offset - first: row.code for row in output.rejected}
        return Result(rows_of(output.batch), rejected, output)
