"""transfer_history: keeps what past transfers taught in the feature store.

Reads outcomes. Per (vm, payload type, link type) it averages the hde ratio, the hde delta hit rate,
the amst rate and the zstd-3 ratio, and writes the newest averages to the feature store, where the
selector's ``feature_extraction`` finds them. Outcomes go through unchanged. An outcome with an
error teaches nothing. With ``arms`` (dual run) every profile teaches, else the one that was used.

On replay: the averages are a function of the outcomes and their order, so a replay writes the same
rows again.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any, ClassVar

import numpy as np
import orjson
from pydantic import Field

from gress_ml.batch import Batch
from gress_ml.dwcp.events import HISTORY_FIELDS, HISTORY_KEY, HISTORY_TABLE, OUTCOME
from gress_ml.dwcp.history import DEFAULT_ALPHA, DEFAULT_LIMIT, History, Row, observation
from gress_ml.errors import SchemaError, SnapshotError
from gress_ml.features.keys import row_keys
from gress_ml.operator import Example, Operator, OperatorConfig, Output, Snapshot, Write
from gress_ml.schema import Columns


class TransferHistoryConfig(OperatorConfig):
    alpha: float = Field(default=DEFAULT_ALPHA, gt=0.0, le=1.0)
    """Weight of the newest outcome in the average; 1 keeps only the newest."""
    max_keys: int = Field(default=DEFAULT_LIMIT, ge=1)
    """Keys held per partition; beyond it the one seen longest ago is forgotten."""
    table: str = HISTORY_TABLE
    """Table of the feature store that is written."""


READS = frozenset(
    {
        *HISTORY_KEY,
        "actual_algorithm",
        "payload_size",
        "bytes_sent",
        "transfer_ms",
        "delta_hit_rate",
        "baseline_ratio",
        "error",
        "arms",
    }
)

_LAYOUT = 1
_LARGEST = float(np.finfo(np.float32).max)  # what the feature store can hold


class TransferHistory(Operator[TransferHistoryConfig]):
    """Averages of past transfers per (vm, payload type, link type), kept in the feature store."""

    name: ClassVar[str] = "transfer_history"
    Config: ClassVar[type[OperatorConfig]] = TransferHistoryConfig

    def __init__(self, config: TransferHistoryConfig) -> None:
        super().__init__(config)
        self._history = History(config.alpha, config.max_keys)

    def reads(self) -> frozenset[str]:
        return READS

    def signature(self, columns: Columns) -> Columns:
        missing = sorted(READS - set(columns))
        if missing:
            raise SchemaError(f"transfer_history reads outcomes: {', '.join(missing)} not there")
        return columns

    def process(self, batch: Batch) -> Output:
        if not len(batch):
            return Output(batch)
        changed: dict[bytes, Row] = {}
        for key, seen in zip(row_keys(batch, HISTORY_KEY), _observations(batch), strict=True):
            if seen is not None:
                changed[key] = self._history.observe(key, seen)
        if not changed:
            return Output(batch)
        rows = np.array(list(changed.values()), np.float32)
        return Output(batch, writes=(Write(self.config.table, HISTORY_FIELDS, [*changed], rows),))

    def snapshot(self) -> Snapshot:
        state = [[key.hex(), *row] for key, row in self._history.items()]
        return Snapshot(_LAYOUT, orjson.dumps(state))

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.version != _LAYOUT:
            raise SnapshotError(f"transfer_history cannot read snapshot layout {snapshot.version}")
        try:
            state = orjson.loads(snapshot.data)
            self._history.load({bytes.fromhex(key): _row(values) for key, *values in state})
        except (ValueError, TypeError) as error:
            raise SnapshotError(f"transfer_history snapshot is damaged: {error}") from error


def _row(values: list[float | None]) -> Row:
    hde_ratio, hit_rate, amst_rate, baseline = (nan if v is None else float(v) for v in values)
    if any(abs(value) > _LARGEST for value in (hde_ratio, hit_rate, amst_rate, baseline)):
        raise ValueError(f"an average is larger than any can be: {values}")
    return (hde_ratio, hit_rate, amst_rate, baseline)


def _observations(batch: Batch) -> list[Row | None]:
    """What each outcome teaches; None for one that failed."""
    columns = (
        batch[name].tolist()
        for name in (
            "error",
            "arms",
            "actual_algorithm",
            "payload_size",
            "bytes_sent",
            "transfer_ms",
            "delta_hit_rate",
            "baseline_ratio",
        )
    )
    return [
        None
        if error is not None
        else observation(size, _arms(arms, algorithm, sent, took, hits), baseline)
        for error, arms, algorithm, size, sent, took, hits, baseline in zip(*columns, strict=True)
    ]


def _arms(
    arms: Any, algorithm: str, bytes_sent: int, transfer_ms: float, hit_rate: float
) -> Mapping[str, Mapping[str, Any]]:
    """The profiles that were run: all of them on the dual-run share, else the one used."""
    if isinstance(arms, dict):
        return {name: arm for name, arm in arms.items() if isinstance(arm, dict)}
    return {
        algorithm: {
            "bytes_sent": bytes_sent,
            "transfer_ms": transfer_ms,
            "delta_hit_rate": hit_rate,
        }
    }


TransferHistory.examples = (
    Example(
        title="One hde transfer teaches its ratio and its delta hits",
        config={},
        columns=OUTCOME.columns,
        rows=[
            {
                "request_id": "r-1",
                "vm_id": "vm-17",
                "timestamp": "2026-11-21T00:00:00Z",
                "actual_algorithm": "hde",
                "payload_type": "vm_memory",
                "link_type": "wan",
                "payload_size": 1048576,
                "bytes_sent": 262144,
                "transfer_ms": 301.7,
                "delta_hit_rate": 71.0,
            }
        ],
        expected=[{"request_id": "r-1", "actual_algorithm": "hde"}],
    ),
    Example(
        title="A failed transfer teaches nothing; only the keys seen last are held",
        config={"max_keys": 2, "alpha": 0.5},
        columns=OUTCOME.columns,
        rows=[
            {
                "request_id": "r-2",
                "vm_id": "vm-17",
                "timestamp": "2026-11-21T00:00:00Z",
                "actual_algorithm": "amst",
                "payload_type": "text",
                "link_type": "dc",
                "payload_size": 1048576,
                "bytes_sent": 400000,
                "transfer_ms": 2.5,
            },
            {
                "request_id": "r-3",
                "vm_id": "vm-18",
                "timestamp": "2026-11-21T00:00:01Z",
                "actual_algorithm": "amst",
                "payload_type": "text",
                "link_type": "dc",
                "payload_size": 1048576,
                "error": "the link broke",
            },
        ],
        expected=[{"request_id": "r-2"}, {"request_id": "r-3"}],
    ),
)
