"""Stock Faust as its documentation shows: an agent, ``async for``, one event at a time.

``faust -A benchmarks.stock_faust worker --without-web``; the broker and the group come from
``BENCH_BROKER`` and ``BENCH_GROUP``. Outputs are acknowledged by all replicas (its default).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable
from typing import Any

import faust
import numpy as np

from benchmarks.decide import MODEL, MODELS, THRESHOLD
from benchmarks.topics import DECISIONS, TRANSFERS
from gress_ml.dwcp import rules
from gress_ml.dwcp.dataset import REGIONS
from gress_ml.dwcp.links import LINKS
from gress_ml.dwcp.profiles import profiles
from gress_ml.inference import load_predictor
from gress_ml.registry import LocalRegistry

app = faust.App(
    os.environ.get("BENCH_GROUP", "stock"),
    broker=f"kafka://{os.environ.get('BENCH_BROKER', '127.0.0.1:9092')}",
    value_serializer="json",
    store="memory://",
    topic_replication_factor=1,
    producer_acks=-1,
)
transfers = app.topic(TRANSFERS)
decisions = app.topic(DECISIONS)

_bundle = LocalRegistry(MODELS).find(MODEL)
_predictor = load_predictor(_bundle)
_profiles = profiles()
_LINKS = {name: code for code, name in enumerate(LINKS, 1)}
_REGIONS = {name: code for code, name in enumerate(REGIONS, 1)}


def features_of(event: dict[str, Any]) -> np.ndarray:
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
        _LINKS.get(event["link_type"], 0),
        _REGIONS.get(event.get("region"), 0),
    ]
    return np.array([row], np.float32)


def decide(event: dict[str, Any], decision_id: str) -> dict[str, Any]:
    """The decision of one event."""
    row = features_of(event)
    shares = _predictor.predict(row)[0].astype(np.float64).round(6).tolist()
    top = max(range(len(shares)), key=shares.__getitem__)
    algorithm, confidence, reason = _predictor.classes[top], shares[top], "model"
    if confidence <= THRESHOLD:
        algorithm = rules.choose_one(*row[0, [0, 2, 9, 10]].tolist())
        confidence, reason = rules.CONFIDENCE, "low_confidence"
    return {
        "decision_id": decision_id,
        "request_id": event["request_id"],
        "vm_id": event["vm_id"],
        "algorithm": algorithm,
        "codec": _profiles[algorithm].codec,
        "streams": _profiles[algorithm].streams,
        "confidence": confidence,
        "probabilities": dict(zip(_predictor.classes, shares, strict=True)),
        "reason": reason,
        "model": _bundle.name,
        "version": _bundle.version,
        "feature_schema": "dwcp-v17",
        "degraded": [],
    }


@app.agent(transfers)
async def select(stream: faust.Stream[dict[str, Any]]) -> AsyncIterable[None]:
    """Decide event by event."""
    async for event in stream.events():
        message = event.message
        decision_id = f"{message.topic}-{message.partition}-{message.offset}"
        await decisions.send(key=message.key, value=decide(event.value, decision_id))
        yield
