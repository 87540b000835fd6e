"""Columns of the data set, each declared once; those of the event are the event's own.

``python -m gress_ml.dwcp.dataset.columns`` prints them as a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from gress_ml.dwcp.events import HISTORY_FIELDS, TRANSFER
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.schema import ColumnType

FLOAT, INT, BOOL, TEXT = "float", "int", "bool", "text"

_KINDS = {
    ColumnType.FLOAT: FLOAT,
    ColumnType.INT: INT,
    ColumnType.BOOL: BOOL,
    ColumnType.STRING: TEXT,
    ColumnType.TIMESTAMP: TEXT,
}

#: What is known of each arm; the columns are called ``arm_<algorithm>_<field>``.
ARM_FIELDS = {
    "bytes_sent": (INT, "Bytes on the wire."),
    "compress_ms": (FLOAT, "Compression, on the sender's cores under its load."),
    "transfer_ms": (FLOAT, "Time on the link, by the link model."),
    "decompress_ms": (FLOAT, "Decompression of the slowest stream."),
    "cpu_ms": (FLOAT, "CPU time of both ends, over all streams."),
    "delta_hit_rate": (FLOAT, "Percent of 256-byte blocks that the version before has."),
    "streams": (INT, "Parallel streams."),
    "total_ms": (FLOAT, "compress + transfer + decompress."),
    "cost": (FLOAT, "total_ms + cpu_price * cpu_ms."),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``before``: whether it is known before the transfer, so fit for a feature."""

    name: str
    kind: str
    before: bool
    description: str


def arm_column(algorithm: str, field: str) -> str:
    """The name of an arm's column."""
    return f"arm_{algorithm}_{field}"


_EVENT = tuple(
    Column(field.name, _KINDS[field.type], True, field.description) for field in TRANSFER.fields
)
_ORIGIN = (
    Column("time_ms", INT, True, "Start of the transfer, milliseconds since the epoch."),
    Column("cohort", INT, False, "Part of the fleet; cohorts share no source, VM or link."),
    Column("payload_class", TEXT, False, "Class of the payload; the same as payload_type."),
    Column("payload_id", TEXT, False, "The payload: object and version."),
    Column("object_id", TEXT, False, "The piece of a source that changes from version to version."),
    Column("source_id", TEXT, False, "The process, volume, database or files that it is cut from."),
    Column("version", INT, False, "Number of the version; 0 has no baseline."),
    Column("link_condition_id", TEXT, False, "Kind and seed of the link."),
    Column("link_seed", INT, False, "Seed of the link."),
)
_ARMS = tuple(
    Column(arm_column(algorithm, field), kind, False, f"{algorithm}: {description}")
    for algorithm in ALGORITHMS
    for field, (kind, description) in ARM_FIELDS.items()
)
_TRUTH = (
    Column("label", TEXT, False, "The arm with the lowest cost."),
    Column("baseline_ratio", FLOAT, False, "Bytes in per byte out of plain zstd-3."),
    Column("legacy_algorithm", TEXT, False, "hde or amst, by the utility formula of old."),
    Column("legacy_utility", FLOAT, False, "The utility of that algorithm."),
    Column(
        "observed",
        TEXT,
        False,
        "What the fleet saw of this transfer, and history learns: all arms on the dual-run share, "
        "else the one that is named.",
    ),
    Column("during_bandwidth_mbps", FLOAT, False, "Bandwidth during the transfer."),
    Column("during_rtt_ms", FLOAT, False, "Round-trip time during the transfer."),
    Column("during_loss", FLOAT, False, "Loss during the transfer."),
    Column("during_cpu_usage", FLOAT, False, "CPU in use during the transfer."),
)

COLUMNS = (*_EVENT, *_ORIGIN, *_ARMS, *_TRUTH)
EVENT_NAMES = tuple(column.name for column in _EVENT)

assert set(HISTORY_FIELDS) <= set(EVENT_NAMES)  # history comes in the event's own fields


def markdown() -> str:
    """The columns as a Markdown table."""
    lines = ["| column | type | known before | what |", "|---|---|---|---|"]
    lines += [
        f"| `{column.name}` | {column.kind} | {'yes' if column.before else ''} | "
        f"{column.description} |"
        for column in COLUMNS
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())  # noqa: T201 - this is what it is for
