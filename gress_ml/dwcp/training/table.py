"""Table: measured transfers as feature rows, labels and costs, through the code that serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from gress_ml.batch import Batch
from gress_ml.dwcp.dataset import Dataset, transfers
from gress_ml.dwcp.events import TRANSFER
from gress_ml.features import FeatureSet, FeatureSetSpec
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in order of time; rows of one ``source`` or one ``condition`` belong together."""

    events: Batch  # columns of dwcp.transfer, with the history known before each transfer
    features: Float32  # (n, width)
    names: tuple[str, ...]
    cost: Float64  # (n, 3), ms, in the order of ALGORITHMS
    source: npt.NDArray[np.object_]  # where the payload comes from
    condition: npt.NDArray[np.object_]  # which link it went over
    cohort: npt.NDArray[np.int64]  # of sources and links that no other cohort has

    def __len__(self) -> int:
        return len(self.cost)

    @property
    def label(self) -> npt.NDArray[np.intp]:
        """Position in ALGORITHMS of the cheapest profile."""
        cheapest: npt.NDArray[np.intp] = self.cost.argmin(axis=1)
        return cheapest

    def rows(self, which: npt.NDArray[Any]) -> Table:
        """The rows of a mask or of positions."""
        return replace(
            self,
            events=self.events.take(which),
            features=self.features[which],
            cost=self.cost[which],
            source=self.source[which],
            condition=self.condition[which],
            cohort=self.cohort[which],
        )

    def column(self, name: str) -> Float32:
        """One feature."""
        found: Float32 = self.features[:, self.names.index(name)]
        return found

    def with_events(self, events: Batch, spec: FeatureSetSpec) -> Table:
        """The same rows with other events, such as perturbed ones, and the features of these."""
        features, names = features_of(events, spec)
        return replace(self, events=events, features=features, names=names)


def table_of(data: Dataset, spec: FeatureSetSpec) -> Table:
    """The rows of a data set; history is what was known before each transfer.

    Raises ValueError for a transfer that the event schema or the feature schema refuses.
    """
    events = decoded([*transfers(data)])
    features, names = features_of(events, spec)
    return Table(
        events,
        features,
        names,
        data.arms("cost"),
        data["source_id"],
        data["link_condition_id"],
        data["cohort"],
    )


def decoded(events: Sequence[Mapping[str, Any]]) -> Batch:
    """``dwcp.transfer`` messages as a worker reads them. Raises ValueError."""
    records = [FileRecord(number, orjson.dumps(event)) for number, event in enumerate(events)]
    batch, refused = Decoder(TRANSFER).decode("dwcp.transfers", 0, records)
    if refused:
        raise ValueError(f"transfer {refused[0].offset + 1}: {refused[0].message}")
    return batch


def features_of(events: Batch, spec: FeatureSetSpec) -> tuple[Float32, tuple[str, ...]]:
    """The vectors of the events and the names of their values. Raises ValueError."""
    features = FeatureSet(spec)
    matrix, rejected = features.transform(events)
    if rejected:
        raise ValueError(f"transfer {rejected[0].offset + 1}: {rejected[0].message}")
    return matrix, features.vector.names
