"""Decide: records in, decisions out, written by hand for this one model; no framework.

The work that the topology ``compression_selector`` does, as one would write it for this case alone:
typed decoding of the same fields with the same ranges, the same 17 features in NumPy, the same
model files, the same JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import orjson

from gress_ml.dwcp import rules
from gress_ml.dwcp.dataset import REGIONS
from gress_ml.dwcp.events import MAX_BYTES, MAX_MBPS, MAX_MS, MAX_RATIO, MIN_MBPS, UNKNOWN
from gress_ml.dwcp.links import LINKS
from gress_ml.dwcp.profiles import AMST, HDE, profiles
from gress_ml.inference import load_predictor
from gress_ml.registry import LocalRegistry

MODELS = Path(__file__).parents[1] / "models"
MODEL = "compression-selector"
THRESHOLD = 0.6

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


class Choices(NamedTuple):
    """What was decided, row by row."""

    algorithms: list[str]
    confidence: list[float]
    probabilities: list[list[float]]
    by_model: list[bool]


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
)
_LINK_CODES = {name: code for code, name in enumerate(LINKS, 1)}
_REGION_CODES = {name: code for code, name in enumerate(REGIONS, 1)}


def features_of(rows: Sequence[Transfer]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The 17 features, float32 of shape (n, 17)."""
    count = len(rows)
    flat = np.array([_numbers(row) for row in rows])
    rtt, jitter, bandwidth, size, entropy, score, cpu, memory, ratio, hits, rate, base = flat.T
    made = np.empty((count, 17), np.float32)
    for column, values in enumerate((rtt, jitter, bandwidth, bandwidth / (rtt + 1))):
        made[:, column] = values
    made[:, 4] = size / (1 << 20)
    made[:, 5] = entropy
    made[:, 6] = score
    made[:, 7] = cpu
    made[:, 8] = np.clip(1 - memory / 10_000, 0.0, 1.0)
    made[:, 9] = ratio
    made[:, 10] = hits
    made[:, 11] = rate
    made[:, 12] = base
    made[:, 13] = ratio * hits / 100
    made[:, 14] = rate / (bandwidth + 1)
    made[:, 15] = [_LINK_CODES.get(row.link_type, 0) for row in rows]
    made[:, 16] = [_REGION_CODES.get(row.region, 0) for row in rows]
    return made


class Decide:
    """The decisions of a batch of records of one partition, as encoded bodies."""

    def __init__(self, models: Path = MODELS) -> None:
        bundle = LocalRegistry(models).find(MODEL)
        self.predictor = load_predictor(bundle)
        self._decode = msgspec.json.Decoder(Transfer).decode
        self._same = {
            "model": bundle.name,
            "version": bundle.version,
            "feature_schema": "dwcp-v17",
        }
        self._classes = np.array(self.predictor.classes, object)
        self._profiles = profiles()

    def decode(self, values: Sequence[bytes]) -> list[Transfer]:
        decode = self._decode
        return [decode(value) for value in values]

    def choose(self, matrix: np.ndarray[Any, np.dtype[np.float32]]) -> Choices:
        """The model's choices, and those of the rules where it is not sure."""
        probabilities = self.predictor.predict(matrix).astype(np.float64).round(6)
        top = probabilities.argmax(axis=1)
        confidence = probabilities[np.arange(len(top)), top]
        algorithms = self._classes[top]
        unsure = np.flatnonzero(confidence <= THRESHOLD)
        if len(unsure):
            few = matrix[unsure]
            hde = rules.prefers_hde(few[:, 0], few[:, 2], few[:, 9], few[:, 10])
            algorithms[unsure] = np.where(hde, HDE, AMST)
            confidence[unsure] = rules.CONFIDENCE
        by_model = np.ones(len(top), bool)
        by_model[unsure] = False
        return Choices(
            algorithms.tolist(), confidence.tolist(), probabilities.tolist(), by_model.tolist()
        )

    def encode(
        self,
        topic: str,
        partition: int,
        offsets: Sequence[int],
        rows: list[Transfer],
        made: Choices,
    ) -> list[bytes]:
        one, two, three = self.predictor.classes
        source = f"{topic}-{partition}-"
        dumps, known, same = orjson.dumps, self._profiles, self._same
        return [
            dumps(
                {
                    "decision_id": f"{source}{offset}",
                    "request_id": row.request_id,
                    "vm_id": row.vm_id,
                    "algorithm": algorithm,
                    "codec": known[algorithm].codec,
                    "streams": known[algorithm].streams,
                    "confidence": confidence,
                    "probabilities": {one: shares[0], two: shares[1], three: shares[2]},
                    "reason": "model" if by_model else "low_confidence",
                    **same,
                    "degraded": [],
                }
            )
            for offset, row, algorithm, confidence, shares, by_model in zip(
                offsets, rows, *made, strict=True
            )
        ]

    def __call__(
        self, topic: str, partition: int, offsets: Sequence[int], values: Sequence[bytes]
    ) -> list[bytes]:
        rows = self.decode(values)
        made = self.choose(features_of(rows))
        return self.encode(topic, partition, offsets, rows, made)
