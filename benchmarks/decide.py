"""Decide: records in, decisions out, written by hand for this one model; no framework.

The work that the topology ``compression_selector`` does, as one would write it for this case alone:
the same fields, the same 36 features in NumPy, the same model files, the same JSON. Every
contender that works in batches calls this code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from benchmarks.decode import Columns, typed
from gress_ml.dwcp import rules
from gress_ml.dwcp.dataset import REGIONS
from gress_ml.dwcp.features import NAME_V2
from gress_ml.dwcp.links import LINKS
from gress_ml.dwcp.payloads import PAYLOAD_TYPES
from gress_ml.dwcp.profiles import AMST, HDE, profiles
from gress_ml.inference import load_predictor
from gress_ml.registry import Registry

MODELS = Path(__file__).parents[1] / "models"
MODEL = "compression-selector"
THRESHOLD = 0.6

LINK_CODES = {name: code for code, name in enumerate(LINKS, 1)}
REGION_CODES = {name: code for code, name in enumerate(REGIONS, 1)}
KIND_CODES = {name: code for code, name in enumerate(PAYLOAD_TYPES, 1)}
WIDTH = 36

Float32 = np.ndarray[Any, np.dtype[np.float32]]
Float64 = np.ndarray[Any, np.dtype[np.float64]]


class Choices(NamedTuple):
    """What was decided, row by row."""

    algorithms: list[str]
    confidence: list[float]
    probabilities: list[list[float]]
    by_model: list[bool]


def features_of(columns: Columns) -> Float32:
    """The 36 features of ``dwcp-v2``, float32 of shape (n, 36)."""
    numbers = columns.numbers
    rtt, jitter, bandwidth, size, entropy, score, cpu, memory = numbers.T[:8]
    ratio, hits, rate, base, similarity, repetition, loss, cores = numbers.T[8:]
    made = np.empty((len(numbers), WIDTH), np.float32)
    for column, values in enumerate((rtt, jitter, bandwidth, bandwidth / (rtt + 1))):
        made[:, column] = values
    megabytes = size / (1 << 20)
    made[:, 4] = megabytes
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
    made[:, 15] = [LINK_CODES.get(link, 0) for link in columns.links]
    made[:, 16] = [REGION_CODES.get(region, 0) for region in columns.regions]
    made[:, 17] = similarity
    made[:, 18] = repetition
    made[:, 19] = loss
    made[:, 20] = cores
    made[:, 21] = [KIND_CODES.get(kind, 0) for kind in columns.kinds]
    share = np.clip(cores * (1 - cpu / 100), 0.05, 1)
    work = megabytes / share
    spread = np.maximum(work / 4, megabytes / np.maximum(0.05, cores * (1 - cpu / 100)))
    limit = stream_limit(rtt, loss)
    one, four = np.minimum(bandwidth, limit), np.minimum(bandwidth, 4 * limit)
    raw = wire_ms(size, one, rtt, 1)
    light = wire_ms(size * (1 - 0.9 * score), four, rtt, 4)
    strong = wire_ms(size * (1 - 0.99 * similarity / 100) * (1 - 0.95 * score), one, rtt, 1)
    quick = light + 4 * spread
    estimates = (
        *(share, work, spread, limit, one, four, raw, light, strong),
        (raw - light) / spread,
        (light - strong) / work,
        np.log(quick / raw),
        np.log((strong + 200 * work) / quick),
        np.log(work / raw),
    )
    for column, values in enumerate(estimates, 22):
        made[:, column] = values
    return made


def stream_limit(rtt: Float64, loss: Float64) -> Float64:
    """What loss leaves of one TCP stream, in Mbit/s."""
    lost = np.maximum(loss, 1e-8)
    beyond = 0.0059 * np.sqrt(rtt / lost * np.sqrt(rtt / lost))
    found: Float64 = 11.6 / np.maximum(rtt, 0.01) * np.maximum(np.sqrt(1.5 / lost), beyond)
    return found


def wire_ms(size: Float64, mbps: Float64, rtt: Float64, streams: int) -> Float64:
    """Slow start, and the bytes at the rate."""
    started = np.minimum(size, 125 * mbps * rtt) / (streams * 14_480)
    found: Float64 = rtt * (0.5 + 1.44 * np.log1p(started)) + size / 125 / mbps
    return found


class Decide:
    """The decisions of a batch of records, as encoded bodies."""

    def __init__(
        self, decode: Callable[[Sequence[bytes]], Columns] = typed, models: Path = MODELS
    ) -> None:
        bundle = Registry(models).find(MODEL)
        self.predictor = load_predictor(bundle)
        self._decode = decode
        self._same = {
            "model": bundle.name,
            "version": bundle.version,
            "feature_schema": NAME_V2,
        }
        self._classes = np.array(self.predictor.classes, object)
        self._profiles = profiles()

    def choose(self, matrix: Float32) -> Choices:
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

    def encode(self, ids: Sequence[str], columns: Columns, made: Choices) -> list[bytes]:
        one, two, three = self.predictor.classes
        dumps, known, same = orjson.dumps, self._profiles, self._same
        return [
            dumps(
                {
                    "decision_id": decision_id,
                    "request_id": request_id,
                    "vm_id": vm_id,
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
            for decision_id, request_id, vm_id, algorithm, confidence, shares, by_model in zip(
                ids, columns.requests, columns.vms, *made, strict=True
            )
        ]

    def __call__(self, ids: Sequence[str], values: Sequence[bytes]) -> list[bytes]:
        """``ids`` are those of the decisions: topic, partition and offset of each record."""
        columns = self._decode(values)
        return self.encode(ids, columns, self.choose(features_of(columns)))
