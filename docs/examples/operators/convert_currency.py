"""convert_currency: gives each amount in one currency.

Reads an amount and the currency that it is in, and adds the amount times the currency's rate. A
row without an amount keeps none. A row of a currency that has no rate is rejected as
``unknown_currency``.

On replay: stateless; what comes out is a function of the row and the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

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


class ConvertCurrencyConfig(OperatorConfig):
    rates: Mapping[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    """What one unit of each currency is worth."""
    amount: str = "amount"
    """Column with the amount."""
    currency: str = "currency"
    """Column with the currency's code."""
    output: str = "converted"
    """Column that gets the converted amount."""


class ConvertCurrency(Operator[ConvertCurrencyConfig]):
    """Gives each amount in one currency."""

    name: ClassVar[str] = "convert_currency"
    Config: ClassVar[type[OperatorConfig]] = ConvertCurrencyConfig

    def reads(self) -> frozenset[str]:
        return frozenset({self.config.amount, self.config.currency})

    def signature(self, columns: Columns) -> Columns:
        expected = {
            self.config.amount: ColumnType.FLOAT,
            self.config.currency: ColumnType.STRING,
        }
        for name, type_ in expected.items():
            if name not in columns or columns[name].type is not type_:
                raise SchemaError(f"convert_currency needs a column {name!r} of type {type_}")
        nullable = columns[self.config.amount].nullable
        made = Column(self.config.output, ColumnType.FLOAT, nullable=nullable)
        return columns_of([*columns.values(), made])

    def process(self, batch: Batch) -> Output:
        codes = batch[self.config.currency].tolist()
        rates = np.array([self.config.rates.get(code, np.nan) for code in codes], np.float64)
        converted = batch.with_columns({self.config.output: batch[self.config.amount] * rates})
        known = ~np.isnan(rates)
        return Output(converted.take(known), self._rejected(batch, codes, np.flatnonzero(~known)))

    def _rejected(
        self, batch: Batch, codes: Sequence[str | None], rows: np.ndarray
    ) -> list[Rejected]:
        there_are = ", ".join(sorted(self.config.rates))
        return [
            Rejected(
                int(batch.offsets[row]),
                "unknown_currency",
                f"no rate for {codes[row]!r}; there are: {there_are}",
            )
            for row in rows.tolist()
        ]


ConvertCurrency.examples = (
    Example(
        title="Two currencies, an amount that is missing and a currency without a rate",
        config={"rates": {"EUR": 1.0, "USD": 0.5}, "output": "eur"},
        columns=columns_of(
            [
                Column("amount", ColumnType.FLOAT, nullable=True),
                Column("currency", ColumnType.STRING, nullable=True),
            ]
        ),
        rows=(
            {"amount": 10.0, "currency": "EUR"},
            {"amount": 10.0, "currency": "USD"},
            {"amount": None, "currency": "USD"},
            {"amount": 10.0, "currency": "XXX"},
        ),
        expected=({"eur": 10.0}, {"eur": 5.0}, {"eur": None}),
        rejected={3: "unknown_currency"},
    ),
)
