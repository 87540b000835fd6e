"""The messages of DWCP: transfer, decision and outcome, each field declared once (law 4).

The key of every message is its ``vm_id``, so the order per VM is kept. Changes are additive only.
Units: entropy in bits per byte 0–8; scores, usages and rates of hits in percent 0–100;
compressibility and loss as fractions 0–1; times in ms; sizes in bytes; rates in Mbit/s.
"""

from __future__ import annotations

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.schema import ColumnType, EventSchema, Field

_FLOAT, _INT, _BOOL = ColumnType.FLOAT, ColumnType.INT, ColumnType.BOOL
_STRING, _TIME, _JSON = ColumnType.STRING, ColumnType.TIMESTAMP, ColumnType.JSON

#: Largest values that are taken for real: what is above is a broken unit, not a measurement.
MAX_MS = 3_600_000.0
MAX_MBPS = 1_000_000.0
MIN_MBPS = 0.001
MAX_BYTES = 2**40
MAX_RATIO = 1_000_000.0

#: What a text field holds when the sender does not know.
UNKNOWN = "unknown"

#: The fields that outcomes keep up to date in the feature store, in the order of its rows.
HISTORY_FIELDS = (
    "hde_compression_ratio",
    "hde_delta_hit_rate",
    "amst_transfer_rate_mbps",
    "baseline_compression_ratio",
)

#: The feature store's table of them, and what its keys are made of.
HISTORY_TABLE = "transfer_history"
HISTORY_KEY = ("vm_id", "payload_type", "link_type")


def _text(name: str, description: str, *, required: bool = False) -> Field:
    return Field(name, _STRING, required=required, description=description)


def _ms(name: str, description: str, *, required: bool = False) -> Field:
    return Field(name, _FLOAT, required, None, 0.0, MAX_MS, unit="ms", description=description)


def _percent(name: str, description: str, default: float | None = None) -> Field:
    return Field(name, _FLOAT, False, default, 0.0, 100.0, unit="percent", description=description)


def _fraction(name: str, description: str) -> Field:
    return Field(name, _FLOAT, minimum=0.0, maximum=1.0, unit="fraction", description=description)


def _ratio(name: str, description: str) -> Field:
    return Field(
        name,
        _FLOAT,
        minimum=0.001,
        maximum=MAX_RATIO,
        unit="bytes in per byte out",
        description=description,
    )


def _mbps(name: str, description: str, *, required: bool = False, least: float = 0.0) -> Field:
    return Field(
        name, _FLOAT, required, None, least, MAX_MBPS, unit="Mbit/s", description=description
    )


_WHEN = Field(
    "timestamp", _TIME, required=True, description="When the agent made the message, UTC."
)
_REQUEST = _text("request_id", "Names the transfer; outcomes join by it.", required=True)
_VM = _text("vm_id", "The virtual machine whose state moves; the message key.", required=True)
_LINK = "Kind of link, such as dc, metro, wan or edge; the model knows its own list."

TRANSFER = EventSchema(
    "dwcp.transfer",
    (
        _REQUEST,
        _text("session_id", "The migration or sync session that the transfer belongs to."),
        _VM,
        _WHEN,
        _text("link_type", _LINK, required=True),
        Field("region", _STRING, default=UNKNOWN, description="Region of the sender."),
        Field(
            "network_tier",
            _INT,
            default=2,
            minimum=1,
            maximum=3,
            description="Tier of the network path, 1 (best) to 3.",
        ),
        _mbps(
            "bandwidth_available_mbps",
            "Bandwidth that is left for this transfer, as the agent measured it.",
            required=True,
            least=MIN_MBPS,
        ),
        _percent("bandwidth_utilization", "Share of the link's capacity that others use.", 0.0),
        _ms("rtt_ms", "Round-trip time.", required=True),
        _ms("jitter_ms", "Variation of the round-trip time."),
        _fraction("packet_loss", "Share of packets lost."),
        Field(
            "payload_size",
            _INT,
            required=True,
            minimum=1,
            maximum=MAX_BYTES,
            unit="bytes",
            description="Size before compression.",
        ),
        Field(
            "payload_type",
            _STRING,
            default=UNKNOWN,
            description="What the bytes are, such as vm_memory, database or binary.",
        ),
        Field(
            "entropy_estimate",
            _FLOAT,
            minimum=0.0,
            maximum=8.0,
            unit="bits per byte",
            description="Shannon entropy of the byte histogram.",
        ),
        _percent("repetition_score", "Share of 64-byte blocks seen before in the payload."),
        _fraction("compressibility_score", "1 - compressed/original of a fast probe, at least 0."),
        Field(
            "has_baseline",
            _BOOL,
            default=False,
            description="Whether the receiver holds a previous version.",
        ),
        _percent(
            "baseline_similarity",
            "Share of a sample of the payload that the previous version has too, at any offset.",
        ),
        _percent("cpu_usage", "CPU in use on the sender."),
        Field(
            "cpu_cores",
            _INT,
            default=1,
            minimum=1,
            maximum=4096,
            description="Cores of the sender.",
        ),
        Field(
            "memory_available_mb",
            _FLOAT,
            minimum=0.0,
            maximum=float(MAX_BYTES),
            unit="MiB",
            description="Memory that is free on the sender.",
        ),
        _ratio("hde_compression_ratio", "Past hde ratio; from the feature store when absent."),
        _percent("hde_delta_hit_rate", "Past delta hits; from the feature store when absent."),
        _mbps("amst_transfer_rate_mbps", "Past amst rate; from the feature store when absent."),
        _ratio("baseline_compression_ratio", "Past zstd-3 ratio; from the store when absent."),
    ),
    event_time="timestamp",
)

DECISION = EventSchema(
    "dwcp.decision",
    (
        _text("decision_id", "Topic-partition-offset of the transfer.", required=True),
        _REQUEST,
        _VM,
        _text("algorithm", "The profile to use: hde, amst or none.", required=True),
        Field(
            "codec",
            _STRING,
            required=True,
            choices=("zstd-max", "lz4", "raw"),
            description="What compresses.",
        ),
        Field(
            "streams",
            _INT,
            required=True,
            minimum=1,
            maximum=256,
            description="Parallel streams to send on.",
        ),
        Field(
            "confidence",
            _FLOAT,
            required=True,
            minimum=0.0,
            maximum=1.0,
            unit="fraction",
            description="Top probability; 0.5 where the rules decided.",
        ),
        Field(
            "probabilities",
            _JSON,
            description="Probability per algorithm; null when the model was not asked.",
        ),
        _text("reason", "model, or why the rules decided.", required=True),
        _text("model", "Name of the model bundle.", required=True),
        _text("version", "Version of the model bundle.", required=True),
        _text("feature_schema", "Name of the feature schema.", required=True),
        _text("experiment", "The experiment that the decision is part of."),
        _text("variant", "The arm of the experiment."),
        _fraction("propensity", "Probability with which this arm was chosen."),
        Field("degraded", _JSON, description="What was done without: feature_store, model."),
    ),
)

OUTCOME = EventSchema(
    "dwcp.outcome",
    (
        _REQUEST,
        _VM,
        _WHEN,
        Field(
            "actual_algorithm",
            _STRING,
            required=True,
            choices=ALGORITHMS,
            description="The profile that was used.",
        ),
        _ms("actual_latency_ms", "compress + transfer + decompress."),
        _mbps("actual_throughput_mbps", "Payload bits per second of that latency."),
        Field(
            "bytes_sent",
            _INT,
            default=0,
            minimum=0,
            maximum=MAX_BYTES,
            unit="bytes",
            description="Size on the wire; 0 when nothing was delivered.",
        ),
        _ms("compress_ms", "Time to compress."),
        _ms("transfer_ms", "Time on the link."),
        _ms("decompress_ms", "Time to decompress and check."),
        _ms("cpu_ms", "CPU time of both ends."),
        _percent("delta_hit_rate", "Share of the payload found in the previous version."),
        Field(
            "streams",
            _INT,
            default=1,
            minimum=1,
            maximum=256,
            description="Parallel streams that were used.",
        ),
        _text("error", "Why the transfer failed; null when it did not."),
        Field(
            "payload_type",
            _STRING,
            default=UNKNOWN,
            description="As in the transfer.",
        ),
        Field("link_type", _STRING, default=UNKNOWN, description="As in the transfer."),
        Field(
            "payload_size",
            _INT,
            default=0,
            minimum=0,
            maximum=MAX_BYTES,
            unit="bytes",
            description="As in the transfer; 0 when the agent does not say.",
        ),
        _ratio("baseline_ratio", "zstd-3 ratio of the same bytes, where it was measured."),
        Field(
            "arms",
            _JSON,
            description="On the dual-run share: what each profile did on the same bytes.",
        ),
    ),
    event_time="timestamp",
)

#: Entry-point group ``gress_ml.schemas``.
SCHEMAS = (TRANSFER, DECISION, OUTCOME)
