"""Decide one: a dictionary in, a dictionary out, the model asked for each event.

What one writes in a framework that hands on event by event. The same decisions as ``decide``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.decide import LINK_CODES, MODEL, MODELS, REGION_CODES, THRESHOLD
from gress_ml.dwcp import rules
from gress_ml.dwcp.profiles import profiles
from gress_ml.inference import load_predictor
from gress_ml.registry import Registry


def features_of(event: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The 17 features of one event, float32 of shape (1, 17)."""
    rtt, bandwidth = event["rtt_ms"], event["bandwidth_available_mbps"]
    ratio = event.get("hde_compression_ratio", 0.0)
    hits = event.get("hde_delta_hit_rate", 0.0)
    rate = event.get("amst_transfer_rate_mbps", 0.0)
    free_mb = event.get("memory_available_mb", 5000.0)
    row = [
        rtt,
        event.get("jitter_ms", 0.0),
        bandwidth,
        bandwidth / (rtt + 1),
        event["payload_size"] / (1 << 20),
        event.get("entropy_estimate", 5.0),
        event.get("compressibility_score", 0.5),
        event.get("cpu_usage", 40.0),
        min(max(1 - free_mb / 10_000, 0.0), 1.0),
        ratio,
        hits,
        rate,
        event.get("baseline_compression_ratio", 0.0),
        ratio * hits / 100,
        rate / (bandwidth + 1),
        LINK_CODES.get(event["link_type"], 0),
        REGION_CODES.get(event.get("region"), 0),
    ]
    return np.array([row], np.float32)


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
            "feature_schema": "dwcp-v17",
            "degraded": [],
        }
