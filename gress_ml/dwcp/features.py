"""The 17 features of the selector, in the order of its vector: one declaration for training and
serving. It travels in the bundle as ``feature_schema.json``."""

from __future__ import annotations

from typing import Any

from gress_ml.dwcp.events import MAX_MBPS, MAX_MS, MAX_RATIO
from gress_ml.dwcp.links import LINKS, REGIONS
from gress_ml.features import FeatureSetSpec

#: Name of the schema, as decisions carry it.
NAME = "dwcp-v17"

_MIB = 1 << 20


def feature_spec() -> FeatureSetSpec:
    """The feature schema.

    Numbers carry the units of the events. History that nobody has seen yet is 0, which no
    measurement gives; ``memory_pressure`` is cut to 0–1.
    """
    return FeatureSetSpec.model_validate(
        {
            "name": NAME,
            "features": [
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
            ],
        }
    )


def _number(name: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, "type": "numerical", **parameters}
