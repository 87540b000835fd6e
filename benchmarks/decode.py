"""Decode: events in, the columns of a decision out; typed with msgspec, or plain with orjson.

``typed`` checks types and ranges as the topology's schema does and skips what no one reads.
``plain`` parses all of an event and checks nothing: what most hand-written loops do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import orjson

from gress_ml.dwcp.events import MAX_BYTES, MAX_MBPS, MAX_MS, MAX_RATIO, MIN_MBPS, UNKNOWN

_Ms = Annotated[float, msgspec.Meta(ge=0.0, le=MAX_MS)]
_Mbps = Annotated[float, msgspec.Meta(ge=0.0, le=MAX_MBPS)]
_Percent = Annotated[float, msgspec.Meta(ge=0.0, le=100.0)]
_Ratio = Annotated[float, msgspec.Meta(ge=0.001, le=MAX_RATIO)]


class Transfer(msgspec.Struct, gc=False):
    """The fields of an event that a decision needs."""

    request_id: str
    vm_id: str
    timestamp: datetime | int
    link_type: str
    bandwidth_available_mbps: Annotated[float, msgspec.Meta(ge=MIN_MBPS, le=MAX_MBPS)]
    rtt_ms: _Ms
    payload_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_BYTES)]
    region: str = UNKNOWN
    payload_type: str = UNKNOWN
    jitter_ms: _Ms = 0.0
    entropy_estimate: Annotated[float, msgspec.Meta(ge=0.0, le=8.0)] = 5.0
    compressibility_score: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.5
    cpu_usage: _Percent = 40.0
    memory_available_mb: Annotated[float, msgspec.Meta(ge=0.0, le=MAX_BYTES)] = 5000.0
    hde_compression_ratio: _Ratio = 0.0
    hde_delta_hit_rate: _Percent = 0.0
    amst_transfer_rate_mbps: _Mbps = 0.0
    baseline_compression_ratio: _Ratio = 0.0
    baseline_similarity: _Percent = 0.0
    repetition_score: _Percent = 0.0
    packet_loss: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1e-4
    cpu_cores: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1


class Columns(NamedTuple):
    """What was read of a batch of events."""

    requests: list[str]
    vms: list[str]
    links: list[str]
    regions: list[str]
    kinds: list[str]  # of payload
    numbers: np.ndarray[Any, np.dtype[np.float64]]  # (n, 16), as ``_numbers`` lists them


_numbers = attrgetter(
    "rtt_ms",
    "jitter_ms",
    "bandwidth_available_mbps",
    "payload_size",
    "entropy_estimate",
    "compressibility_score",
    "cpu_usage",
    "memory_available_mb",
    "hde_compression_ratio",
    "hde_delta_hit_rate",
    "amst_transfer_rate_mbps",
    "baseline_compression_ratio",
    "baseline_similarity",
    "repetition_score",
    "packet_loss",
    "cpu_cores",
)
_decode = msgspec.json.Decoder(Transfer).decode


def typed(values: Sequence[bytes]) -> Columns:
    """Only the fields that are used, with their types and ranges checked."""
    rows = [_decode(value) for value in values]
    return Columns(
        [row.request_id for row in rows],
        [row.vm_id for row in rows],
        [row.link_type for row in rows],
        [row.region for row in rows],
        [row.payload_type for row in rows],
        np.array([_numbers(row) for row in rows]),
    )


def plain(values: Sequence[bytes]) -> Columns:
    """Dictionaries of all fields; nothing is checked."""
    events = [orjson.loads(value) for value in values]
    return Columns(
        [event["request_id"] for event in events],
        [event["vm_id"] for event in events],
        [event["link_type"] for event in events],
        [event.get("region", UNKNOWN) for event in events],
        [event.get("payload_type", UNKNOWN) for event in events],
        np.array([_numbers_of(event.get, event) for event in events], np.float64),
    )


def _numbers_of(get: Any, event: dict[str, Any]) -> tuple[float, ...]:
    return (
        event["rtt_ms"],
        get("jitter_ms", 0.0),
        event["bandwidth_available_mbps"],
        event["payload_size"],
        get("entropy_estimate", 5.0),
        get("compressibility_score", 0.5),
        get("cpu_usage", 40.0),
        get("memory_available_mb", 5000.0),
        get("hde_compression_ratio", 0.0),
        get("hde_delta_hit_rate", 0.0),
        get("amst_transfer_rate_mbps", 0.0),
        get("baseline_compression_ratio", 0.0),
        get("baseline_similarity", 0.0),
        get("repetition_score", 0.0),
        get("packet_loss", 1e-4),
        get("cpu_cores", 1),
    )
