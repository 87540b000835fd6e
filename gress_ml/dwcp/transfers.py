"""Transfers: the messages that come of moving bytes, as pure functions.

What is known before (:func:`traits_of`, :func:`describe`), what one profile did (:func:`run_arm`),
what is reported after (:func:`outcome_of`). Agent and data set use the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gress_ml.dwcp import codecs, measure
from gress_ml.dwcp.hosts import HostState, elapsed_ms
from gress_ml.dwcp.links import LinkState
from gress_ml.dwcp.profiles import Profile
from gress_ml.dwcp.transfer_time import DEFAULT_CPU_PRICE, cost, transfer_ms
from gress_ml.rfc3339 import rfc3339

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes to move, and the version that the receiver has, if any."""

    kind: str
    data: bytes
    baseline: bytes | None = None


@dataclass(frozen=True, slots=True)
class Traits:
    """What an agent knows of a payload before it compresses anything; units as in the event."""

    payload_size: int
    payload_type: str
    entropy_estimate: float
    repetition_score: float
    compressibility_score: float
    has_baseline: bool
    baseline_similarity: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transfer starts and what it goes over, at one moment."""

    link: LinkState
    host: HostState
    region: str


@dataclass(frozen=True, slots=True)
class Arm:
    """What one profile did with one payload over one link. Times in ms, sizes in bytes."""

    bytes_sent: int
    compress_ms: float
    transfer_ms: float
    decompress_ms: float
    cpu_ms: float
    delta_hit_rate: float
    streams: int
    total_ms: float
    cost: float


def a_moment_later(place: Place, rng: np.random.Generator) -> Place:
    """Link and host as they are during the transfer: near what was measured before, not the same.

    Bandwidth moves by about 5 %, the round trip with its jitter, loss by about 30 %, CPU by 3 %.
    """
    link, host = place.link, place.host
    jitter = min(0.3, link.jitter_ms / max(link.rtt_ms, 1e-3))
    shake = np.exp(rng.normal(0.0, [0.05, jitter / 2, 0.3])).tolist()
    cpu_usage = float(np.clip(host.cpu_usage + rng.normal(0.0, 3.0), 0.0, 99.0))
    return replace(
        place,
        link=replace(
            link,
            bandwidth_available_mbps=link.bandwidth_available_mbps * shake[0],
            rtt_ms=link.rtt_ms * shake[1],
            loss=min(0.5, link.loss * shake[2]),
        ),
        host=replace(host, cpu_usage=cpu_usage),
    )


def traits_of(payload: Payload) -> Traits:
    """Look at the bytes, cheaply."""
    data, baseline = payload.data, payload.baseline
    return Traits(
        payload_size=len(data),
        payload_type=payload.kind,
        entropy_estimate=round(measure.entropy(data), 4),
        repetition_score=round(measure.repetition_score(data), 3),
        compressibility_score=round(measure.compressibility_score(data), 4),
        has_baseline=baseline is not None,
        baseline_similarity=round(measure.similarity(data, baseline or b""), 2),
    )


def describe(
    traits: Traits, place: Place, *, request_id: str, session_id: str, vm_id: str, time_ms: int
) -> Message:
    """The ``dwcp.transfer`` message: what an agent knows before it compresses anything."""
    link, host = place.link, place.host
    return {
        "request_id": request_id,
        "session_id": session_id,
        "vm_id": vm_id,
        "timestamp": rfc3339(time_ms),
        "link_type": link.link_type,
        "region": place.region,
        "network_tier": link.tier,
        "bandwidth_available_mbps": round(link.bandwidth_available_mbps, 3),
        "bandwidth_utilization": round(link.bandwidth_utilization, 2),
        "rtt_ms": round(link.rtt_ms, 4),
        "jitter_ms": round(link.jitter_ms, 4),
        "packet_loss": round(link.loss, 9),
        **{name: getattr(traits, name) for name in Traits.__slots__},
        "cpu_usage": round(host.cpu_usage, 2),
        "cpu_cores": host.cores,
        "memory_available_mb": round(host.memory_available_mb, 1),
    }


def run_arm(
    profile: Profile, payload: Payload, place: Place, cpu_price: float = DEFAULT_CPU_PRICE
) -> Arm:
    """Really compress and decompress by one profile; model the time on the link.

    Raises CodecError when the bytes do not come back.
    """
    encoded = codecs.run(profile, payload.data, payload.baseline)
    return arm_of(encoded, profile.streams, place, cpu_price)


def arm_of(
    encoded: codecs.Encoded, streams: int, place: Place, cpu_price: float = DEFAULT_CPU_PRICE
) -> Arm:
    """What measured work comes to at a place: the sender's cores and load stretch compression.

    The receiver is taken to have an idle core per stream.
    """
    host, work = place.host, encoded.compress
    compress = elapsed_ms(work.cpu_ms, host.cpu_usage, host.cores, work.slowest_ms)
    transfer = transfer_ms(encoded.bytes_sent, place.link, streams)
    decompress = encoded.decompress.slowest_ms
    total = compress + transfer + decompress
    return Arm(
        bytes_sent=encoded.bytes_sent,
        compress_ms=round(compress, 4),
        transfer_ms=round(transfer, 4),
        decompress_ms=round(decompress, 4),
        cpu_ms=round(encoded.cpu_ms, 4),
        delta_hit_rate=round(encoded.delta_hit_rate, 2),
        streams=streams,
        total_ms=round(total, 4),
        cost=round(cost(total, encoded.cpu_ms, cpu_price), 4),
    )


def outcome_of(
    transfer: Message,
    algorithm: str,
    arms: Mapping[str, Arm],
    *,
    time_ms: int,
    baseline_ratio: float | None = None,
) -> Message:
    """The ``dwcp.outcome`` message of a transfer that arrived by ``algorithm``.

    ``arms`` holds what was run, at least that algorithm; more than one is a dual run, and then all
    are reported.
    """
    used = arms[algorithm]
    megabits = transfer["payload_size"] * 8 / 1e6
    return {
        **_about(transfer, time_ms),
        "actual_algorithm": algorithm,
        "actual_latency_ms": used.total_ms,
        "actual_throughput_mbps": round(megabits / (used.total_ms / 1e3), 4),
        "bytes_sent": used.bytes_sent,
        "compress_ms": used.compress_ms,
        "transfer_ms": used.transfer_ms,
        "decompress_ms": used.decompress_ms,
        "cpu_ms": used.cpu_ms,
        "delta_hit_rate": used.delta_hit_rate,
        "streams": used.streams,
        "error": None,
        "baseline_ratio": None if baseline_ratio is None else round(baseline_ratio, 5),
        "arms": {name: asdict(arm) for name, arm in arms.items()} if len(arms) > 1 else None,
    }


def failure_of(transfer: Message, algorithm: str, error: str, *, time_ms: int) -> Message:
    """The ``dwcp.outcome`` message of a transfer that did not arrive."""
    return {
        **_about(transfer, time_ms),
        "actual_algorithm": algorithm,
        "bytes_sent": 0,
        "error": error,
    }


def _about(transfer: Message, time_ms: int) -> Message:
    return {
        "request_id": transfer["request_id"],
        "vm_id": transfer["vm_id"],
        "timestamp": rfc3339(time_ms),
        "payload_type": transfer["payload_type"],
        "link_type": transfer["link_type"],
        "payload_size": transfer["payload_size"],
    }
