"""A split that is set while workers run: the value of its experiment's key in a compacted topic.

::

    {"weights": {"control": 75.0, "treatment": 25.0},
     "buckets": {"control": [[0, 7500]], "treatment": [[7500, 10000]]}}

``buckets`` makes the value whole: every worker and every replay reads the same split from it alone.
Without them the split is what the topology's own becomes with these weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from gress_ml.experiments.split import Split

EXPERIMENTS_TOPIC = "gress.experiments"


class _Value(msgspec.Struct):
    weights: dict[str, float]
    buckets: dict[str, list[tuple[int, int]]] | None = None


def experiment_switch(experiment: str) -> str:
    """The name of the switch that carries an experiment's split; no other switch can have it."""
    return f"experiment:{experiment}"


def encode_split(split: Split, weights: Mapping[str, float]) -> bytes:
    """The value of the topic for a split with these weights."""
    ordered = {arm: weights[arm] for arm in split.arms}
    return msgspec.json.encode({"weights": ordered, "buckets": split.ranges})


def published_split(value: str | bytes) -> Split | None:
    """The split in a value of the topic; None where it has weights alone. Raises ValueError."""
    found = _decoded(value)
    return None if found.buckets is None else Split.from_ranges([*found.weights], found.buckets)


def decode_split(value: str | bytes, own: Split) -> Split:
    """The split that a value of the topic sets; ``own`` is the one of the topology.

    Raises ValueError, saying what is wrong, for all else than a split of the same arms.
    """
    found = _decoded(value)
    changed = own.changed(found.weights)
    if found.buckets is None:
        return changed
    split = Split.from_ranges(own.arms, found.buckets)
    if not np.array_equal(split.sizes, changed.sizes):
        sizes = dict(zip(own.arms, split.sizes.tolist(), strict=True))
        wanted = dict(zip(own.arms, changed.sizes.tolist(), strict=True))
        raise ValueError(f"the buckets are {sizes}, and the weights make {wanted}")
    return split


def _decoded(value: str | bytes) -> _Value:
    try:
        return msgspec.json.decode(value, type=_Value)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(
            f'expected {{"weights": {{arm: number}}, "buckets": {{arm: [[from, to]]}}}}: {error}'
        ) from None
