"""Decide one: a dictionary in, a dictionary out, the model asked for each event.

What one writes in a framework that hands on event by event. The same decisions as ``decide``.
"""

from __future__ import annotations

from math import log, log1p, sqrt
from typing import Any

import numpy as np

from benchmarks.decide import KIND_CODES, LINK_CODES, MODEL, MODELS, REGION_CODES, THRESHOLD
from gress_ml.dwcp import rules
from gress_ml.dwcp.features import NAME_V2
from gress_ml.dwcp.profiles import profiles
from gress_ml.inference import load_predictor
from gress_ml.registry import Registry


def features_of(event: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The 36 features of one event, float32 of shape (1, 36)."""
    get = event.get
    rtt, bandwidth, size = event["rtt_ms"], event["bandwidth_available_mbps"], event["payload_size"]
    score, cpu, cores = (
        get("compressibility_score", 0.5),
        get("cpu_usage", 40.0),
        get("cpu_cores", 1),
    )
    similarity, loss = get("baseline_similarity", 0.0), get("packet_loss", 1e-4)
    ratio, hits = get("hde_compression_ratio", 0.0), get("hde_delta_hit_rate", 0.0)
    rate = get("amst_transfer_rate_mbps", 0.0)
    megabytes, free = size / (1 << 20), cores * (1 - cpu / 100)
    share = min(max(free, 0.05), 1.0)
    work = megabytes / share
    spread = max(work / 4, megabytes / max(0.05, free))
    lost = max(loss, 1e-8)
    window = max(sqrt(1.5 / lost), 0.0059 * sqrt(rtt / lost * sqrt(rtt / lost)))
    limit = 11.6 / max(rtt, 0.01) * window
    one, four = min(bandwidth, limit), min(bandwidth, 4 * limit)
    raw = wire_ms(size, one, rtt, 1)
    light = wire_ms(size * (1 - 0.9 * score), four, rtt, 4)
    strong = wire_ms(size * (1 - 0.99 * similarity / 100) * (1 - 0.95 * score), one, rtt, 1)
    quick = light + 4 * spread
    row = [
        rtt,
        get("jitter_ms", 0.0),
        bandwidth,
        bandwidth / (rtt + 1),
        megabytes,
        get("entropy_estimate", 5.0),
        score,
        cpu,
        min(max(1 - get("memory_available_mb", 5000.0) / 10_000, 0.0), 1.0),
        ratio,
        hits,
        rate,
        get("baseline_compression_ratio", 0.0),
        ratio * hits / 100,
        rate / (bandwidth + 1),
        LINK_CODES.get(event["link_type"], 0),
        REGION_CODES.get(get("region"), 0),
        similarity,
        get("repetition_score", 0.0),
        loss,
        cores,
        KIND_CODES.get(get("payload_type"), 0),
        *(share, work, spread, limit, one, four, raw, light, strong),
        (raw - light) / spread,
        (light - strong) / work,
        log(quick / raw),
        log((strong + 200 * work) / quick),
        log(work / raw),
    ]
    return np.array([row], np.float32)


def wire_ms(size: float, mbps: float, rtt: float, streams: int) -> float:
    """Slow start, and the bytes at the rate."""
    started = min(size, 125 * mbps * rtt) / (streams * 14_480)
    return rtt * (0.5 + 1.44 * log1p(started)) + size / 125 / mbps


class DecideOne:
    """The decision of one event."""

    def __init__(self) -> None:
        self._bundle = Registry(MODELS).find(MODEL)
        self._predictor = load_predictor(self._bundle)
        self._profiles = profiles()

    def __call__(self, event: dict[str, Any], decision_id: str) -> dict[str, Any]:
        row = features_of(event)
        shares = self._predictor.predict(row)[0].astype(np.float64).round(6).tolist()
        top = max(range(len(shares)), key=shares.__getitem__)
        algorithm, confidence, reason = self._predictor.classes[top], shares[top], "model"
        if confidence <= THRESHOLD:
            algorithm = rules.choose_one(*row[0, [0, 2, 9, 10]].tolist())
            confidence, reason = rules.CONFIDENCE, "low_confidence"
        return {
            "decision_id": decision_id,
            "request_id": event["request_id"],
            "vm_id": event["vm_id"],
            "algorithm": algorithm,
            "codec": self._profiles[algorithm].codec,
            "streams": self._profiles[algorithm].streams,
            "confidence": confidence,
            "probabilities": dict(zip(self._predictor.classes, shares, strict=True)),
            "reason": reason,
            "model": self._bundle.name,
            "version": self._bundle.version,
            "feature_schema": NAME_V2,
            "degraded": [],
        }
