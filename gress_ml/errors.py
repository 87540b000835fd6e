"""Every error that gress-ml raises on purpose, in one tree.

::

    GressError
    ├── ConfigError            a file or setting is wrong; carries findings with file:line:column
    ├── SchemaError            columns, features or units do not fit together
    ├── ModelError             a bundle cannot be used
    │   ├── ModelNotFound      no such name, version or alias
    │   └── ModelCorrupt       a file is missing, truncated or has a wrong checksum
    ├── SnapshotError          saved state cannot be restored
    ├── StoreUnavailable       a store does not answer (may pass: retried)
    ├── BrokerUnavailable      Kafka does not answer (may pass: retried)
    └── OperatorError          an operator failed for a whole batch

A bad *row* is not an error: it is a :class:`gress_ml.Rejected` (law 6).
Adapters translate: no exception of a client library leaves its adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class GressError(Exception):
    """Base of all errors raised by gress-ml."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one file: where it is, what was expected, what to do."""

    file: str
    line: int  # 1-based; 0 when the fault has no place in the file
    column: int  # 1-based; 0 likewise
    path: str  # e.g. ``steps[1].config.batch_size``
    message: str
    hint: str = ""  # e.g. ``did you mean 'batch_size'?``

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = ": ".join(part for part in (place, self.path, self.message) if part)
        return f"{where} ({self.hint})" if self.hint else where


class ConfigError(GressError):
    """A file or setting is wrong. All findings of a file are reported together."""

    def __init__(self, findings: Sequence[Finding] | str) -> None:
        if isinstance(findings, str):
            findings = [Finding("", 0, 0, "", findings)]
        self.findings: tuple[Finding, ...] = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class SchemaError(GressError):
    """Columns, features or units do not fit together."""


class ModelError(GressError):
    """A model bundle cannot be used."""


class ModelNotFound(ModelError):  # noqa: N818 - reads as the fact it states
    """No model of that name, version or alias."""


class ModelCorrupt(ModelError):  # noqa: N818 - reads as the fact it states
    """A file of the bundle is missing, truncated, unsafe or has a wrong checksum."""


class SnapshotError(GressError):
    """Saved state cannot be restored."""


class StoreUnavailable(GressError):  # noqa: N818 - reads as the fact it states
    """A store does not answer. It may pass: callers retry or go on degraded."""


class BrokerUnavailable(GressError):  # noqa: N818 - reads as the fact it states
    """Kafka does not answer. It may pass: callers retry."""


class OperatorError(GressError):
    """An operator failed for a whole batch."""
