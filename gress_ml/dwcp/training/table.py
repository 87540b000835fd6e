"""Table: samples as feature rows, labels and costs, through the code that serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from gress_ml.dwcp.dataset import Sample
from gress_ml.dwcp.events import HISTORY_FIELDS, HISTORY_KEY, TRANSFER
from gress_ml.dwcp.features import feature_spec
from gress_ml.dwcp.history import DEFAULT_ALPHA, History, Row, observation
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.features import FeatureSet
from gress_ml.features.keys import SEPARATOR
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder

#: Share of past transfers of which all profiles were seen; of the others only one.
DUAL_RUN_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in order of time."""

    features: npt.NDArray[np.float32]  # (n, 17)
    names: tuple[str, ...]
    label: npt.NDArray[np.intp]  # position in ALGORITHMS of the cheapest profile
    cost: npt.NDArray[np.float64]  # (n, 3), ms, in the order of ALGORITHMS
    link_type: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.label)

    def part(self, start: float, end: float) -> Table:
        """The rows between two shares of the time, e.g. ``part(0.0, 0.7)``."""
        rows = slice(round(start * len(self)), round(end * len(self)))
        return Table(
            self.features[rows],
            self.names,
            self.label[rows],
            self.cost[rows],
            self.link_type[rows],
        )


def table_of(samples: Sequence[Sample], seed: int = 17) -> Table:
    """Feature rows of the samples; history is what earlier transfers showed, never the row's own.

    Raises ValueError for a sample without all arms or that the event schema refuses.
    """
    costs = np.array([_costs(sample) for sample in samples])
    events = [
        {**sample.transfer, **past}
        for sample, past in zip(samples, _lagged(samples, seed), strict=True)
    ]
    records = [FileRecord(number, orjson.dumps(event)) for number, event in enumerate(events)]
    batch, refused = Decoder(TRANSFER).decode("dwcp.transfers", 0, records)
    if refused:
        raise ValueError(f"sample {refused[0].offset + 1}: {refused[0].message}")
    features = FeatureSet(feature_spec())
    matrix, rejected = features.transform(batch)
    if rejected:
        raise ValueError(f"sample {rejected[0].offset + 1}: {rejected[0].message}")
    return Table(matrix, features.vector.names, costs.argmin(axis=1), costs, batch["link_type"])


def _costs(sample: Sample) -> list[float]:
    arms = sample.outcome.get("arms") or {}
    missing = [name for name in ALGORITHMS if name not in arms]
    if missing:
        raise ValueError(
            f"sample {sample.transfer['request_id']} has no arm {', '.join(missing)}: "
            "training needs dual runs"
        )
    return [float(arms[name]["cost"]) for name in ALGORITHMS]


def _lagged(samples: Sequence[Sample], seed: int) -> list[Mapping[str, float]]:
    """History before each transfer, as production would have it: mostly of one arm per transfer."""
    history, rng = History(DEFAULT_ALPHA), np.random.default_rng(seed)
    rows: list[Mapping[str, float]] = []
    for sample in samples:
        event = sample.transfer
        key = SEPARATOR.join(event[name] for name in HISTORY_KEY).encode()
        rows.append(_known(history.row(key)))
        history.observe(key, _seen(sample, rng))
    return rows


def _known(row: Row) -> Mapping[str, float]:
    """As float32, which is how the feature store keeps it."""
    kept = np.array(row, np.float32).tolist()
    return {
        name: value for name, value in zip(HISTORY_FIELDS, kept, strict=True) if isfinite(value)
    }


def _seen(sample: Sample, rng: np.random.Generator) -> Row:
    arms: Mapping[str, Any] = sample.outcome["arms"]
    size = sample.transfer["payload_size"]
    if rng.random() < DUAL_RUN_SHARE:
        return observation(size, arms, sample.outcome.get("baseline_ratio") or nan)
    one = ALGORITHMS[int(rng.integers(len(ALGORITHMS)))]
    return observation(size, {one: arms[one]})
