"""Tables made up for tests: their law is known, so scores and models can be held against it."""

from __future__ import annotations

import numpy as np

from gress_ml.batch import Batch
from gress_ml.dwcp.training.table import Table

NAMES = ("rtt_ms", "bandwidth_mbps", "hde_compression_ratio", "hde_delta_hit_rate", "chance")


def made(rows: int = 600, seed: int = 17, cohorts: int = 20, blur: float = 0.0) -> Table:
    """Low ``chance`` makes hde the cheapest, a middling one amst, a high one none.

    ``blur`` hides it.
    """
    rng = np.random.default_rng(seed)
    features = rng.uniform(0.0, 1.0, (rows, len(NAMES))).astype(np.float32)
    features[:, 0] *= 50
    features[:, 1] *= 200
    place = features[:, 4] + rng.normal(0.0, blur, rows) if blur else features[:, 4]
    cost = 10.0 + 20.0 * np.abs(place[:, None] - np.array([0.15, 0.5, 0.85]))
    cohort = np.arange(rows) * cohorts // rows
    source = np.array([f"s{a}-{b % 3}" for b, a in enumerate(cohort)], object)
    links = np.array([("wan", "dc")[at % 2] for at in range(rows)], object)
    kinds = np.array([("text", "binary", "archive")[at % 3] for at in range(rows)], object)
    events = Batch.of(
        {
            "link_type": links,
            "payload_type": kinds,
            "payload_size": rng.integers(4096, 1 << 23, rows),
        },
        event_time_ms=range(rows),
    )
    condition = np.array([f"l{a}" for a in cohort], object)
    return Table(events, features, NAMES, cost, source, condition, cohort)
