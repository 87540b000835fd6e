"""The features of the selector, in the order of its vector: one declaration for training and
serving. It travels in the bundle as ``feature_schema.json``.

``dwcp-v17`` has the 17 features of the selector's first description. ``dwcp-v2`` has these and what
else is known before a transfer: whether and how far the receiver's version is like the payload,
loss, the sender's cores, and what physics makes of them, as estimates of the time on the wire.
"""

from __future__ import annotations

from typing import Any

from gress_ml.dwcp.events import MAX_MBPS, MAX_MS, MAX_RATIO
from gress_ml.dwcp.links import LINKS, REGIONS
from gress_ml.dwcp.payloads import PAYLOAD_TYPES
from gress_ml.dwcp.profiles import DEFAULT_STREAMS
from gress_ml.features import FeatureSetSpec

#: Names of the schemas, as decisions carry them.
NAME = "dwcp-v17"
NAME_V2 = "dwcp-v2"

_MIB = 1 << 20
#: Bytes that a stream sends before the first acknowledgement (RFC 6928).
_FIRST_WINDOW = 14_480


def feature_spec() -> FeatureSetSpec:
    """The feature schema.

    Numbers carry the units of the events. History that nobody has seen yet is 0, which no
    measurement gives; ``memory_pressure`` is cut to 0–1.
    """
    return FeatureSetSpec.model_validate({"name": NAME, "features": _SEVENTEEN})


def feature_spec_v2() -> FeatureSetSpec:
    """The 17 features, then those that came with ``dwcp-v2``."""
    return FeatureSetSpec.model_validate(
        {"name": NAME_V2, "features": [*_SEVENTEEN, *_KNOWN_TOO, *_ESTIMATES]}
    )


def _wire_ms(size: str, mbps: str, streams: int) -> str:
    """Half a round trip, one per doubling until the link is full, and the bytes at its rate."""
    started = f"min({size}, 125 * {mbps} * rtt_ms) / {streams * _FIRST_WINDOW}"
    return f"rtt_ms * (0.5 + 1.44 * log1p({started})) + {size} / 125 / {mbps}"


def _number(name: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "type": "numerical", **parameters}


_SEVENTEEN: list[dict[str, Any]] = [
    _number("rtt_ms", unit="ms", range=[0, MAX_MS]),
    _number("jitter_ms", unit="ms", range=[0, MAX_MS], default=0),
    _number(
        "bandwidth_mbps",
        source="bandwidth_available_mbps",
        unit="Mbit/s",
        range=[0, MAX_MBPS],
    ),
    _number(
        "network_quality",
        expression="bandwidth_mbps / (rtt_ms + 1)",
        description="Bandwidth per round trip.",
    ),
    _number("data_size_mb", expression=f"payload_size / {_MIB}", unit="MiB"),
    _number(
        "entropy",
        source="entropy_estimate",
        unit="bits per byte",
        range=[0, 8],
        default=5,
    ),
    _number("compressibility_score", unit="fraction", range=[0, 1], default=0.5),
    _number("cpu_usage", unit="percent", range=[0, 100], default=40),
    _number(
        "memory_pressure",
        expression="1 - memory_available_mb / 10000",
        unit="fraction",
        clip=[0, 1],
        default=0.5,
    ),
    _number("hde_compression_ratio", range=[0, MAX_RATIO], default=0),
    _number("hde_delta_hit_rate", unit="percent", range=[0, 100], default=0),
    _number("amst_transfer_rate_mbps", unit="Mbit/s", range=[0, MAX_MBPS], default=0),
    _number("baseline_compression_ratio", range=[0, MAX_RATIO], default=0),
    _number(
        "hde_efficiency",
        expression="hde_compression_ratio * hde_delta_hit_rate / 100",
        description="Past ratio, weighted by past delta hits.",
    ),
    _number(
        "amst_efficiency",
        expression="amst_transfer_rate_mbps / (bandwidth_mbps + 1)",
        description="Past amst rate as a share of the bandwidth.",
    ),
    {"name": "link_type", "type": "categorical", "vocabulary": list(LINKS)},
    {"name": "region", "type": "categorical", "vocabulary": list(REGIONS)},
]

#: Measured before the transfer, like the others.
_KNOWN_TOO: list[dict[str, Any]] = [
    _number("baseline_similarity", unit="percent", range=[0, 100], default=0),
    _number("repetition_score", unit="percent", range=[0, 100], default=0),
    _number("packet_loss", unit="fraction", range=[0, 1], default=1e-4),
    _number("cpu_cores", unit="cores", default=1),
    {"name": "payload_type", "type": "categorical", "vocabulary": list(PAYLOAD_TYPES)},
]

#: What these come to. Trees cannot divide, and ratios hold on links that training never saw. The
#: constants need not be exact: the models learn what the estimates are worth.
_ESTIMATES: list[dict[str, Any]] = [
    _number(
        "core_share",
        expression="clip(cpu_cores * (1 - cpu_usage / 100), 0.05, 1)",
        unit="cores",
        description="What the sender's load leaves to one stream.",
    ),
    _number(
        "work",
        expression="data_size_mb / core_share",
        unit="MiB per core",
        description="The payload, stretched by the sender's load.",
    ),
    _number(
        "spread_work",
        expression=(
            f"max(work / {DEFAULT_STREAMS}, data_size_mb / max(0.05, cpu_cores"
            " * (1 - cpu_usage / 100)))"
        ),
        unit="MiB per core",
        description="The same on parallel streams.",
    ),
    _number(
        "stream_limit_mbps",
        expression=(
            "11.6 / max(rtt_ms, 0.01) * max(sqrt(1.5 / max(packet_loss, 1e-8)), 0.0059"
            " * sqrt(rtt_ms / max(packet_loss, 1e-8) * sqrt(rtt_ms / max(packet_loss, 1e-8))))"
        ),
        unit="Mbit/s",
        description="What loss leaves of one TCP stream: the response function of RFC 9438.",
    ),
    _number(
        "none_mbps",
        expression="min(bandwidth_mbps, stream_limit_mbps)",
        unit="Mbit/s",
        description="What one stream carries.",
    ),
    _number(
        "amst_mbps",
        expression=f"min(bandwidth_mbps, {DEFAULT_STREAMS} * stream_limit_mbps)",
        unit="Mbit/s",
        description="What parallel streams carry.",
    ),
    _number(
        "none_wire_ms",
        expression=_wire_ms("payload_size", "none_mbps", 1),
        unit="ms",
        description="Time of the payload as it is, slow start included.",
    ),
    _number(
        "amst_wire_ms",
        expression=_wire_ms(
            "payload_size * (1 - 0.9 * compressibility_score)", "amst_mbps", DEFAULT_STREAMS
        ),
        unit="ms",
        description="Time of the lightly compressed payload on parallel streams.",
    ),
    _number(
        "hde_wire_ms",
        expression=_wire_ms(
            "payload_size * (1 - 0.99 * baseline_similarity / 100)"
            " * (1 - 0.95 * compressibility_score)",
            "none_mbps",
            1,
        ),
        unit="ms",
        description="Time of what the receiver does not have, compressed.",
    ),
    _number(
        "amst_saving",
        expression="(none_wire_ms - amst_wire_ms) / spread_work",
        unit="ms per MiB of work",
        description="What light compression and parallel streams save on the wire.",
    ),
    _number(
        "hde_saving",
        expression="(amst_wire_ms - hde_wire_ms) / work",
        unit="ms per MiB of work",
        description="What the delta and strong compression save beyond that.",
    ),
    _number(
        "amst_to_none",
        expression="log((amst_wire_ms + 4 * spread_work) / none_wire_ms)",
        description="Logarithm of the ratio of two estimated times.",
    ),
    _number(
        "hde_to_amst",
        expression="log((hde_wire_ms + 200 * work) / (amst_wire_ms + 4 * spread_work))",
        description="Logarithm of the ratio of two estimated times.",
    ),
    _number(
        "work_to_wire",
        expression="log(work / none_wire_ms)",
        description="Whether the sender or the link is the bottleneck.",
    ),
]
