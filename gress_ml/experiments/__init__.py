"""Experiments: which arm answers an event, and how its answer compares with the others'. Pure.

Reading order: ``split`` (which arm has which bucket), ``buckets`` (from an event to its bucket),
``assignment`` (the strategies), ``published`` (a split that is set while workers run); then ``arm``
(an arm asks its model), ``shadow`` and ``comparison`` (the other arms, after the answer).
"""

from gress_ml.experiments.arm import Arm, Asked, Timers, arms_of, ask
from gress_ml.experiments.assignment import (
    KEYED,
    Assigner,
    Assignment,
    MissingKey,
    Strategy,
    ids_of,
)
from gress_ml.experiments.comparison import RESULTS, Comparison, compare
from gress_ml.experiments.published import (
    EXPERIMENTS_TOPIC,
    decode_split,
    encode_split,
    experiment_switch,
    published_split,
)
from gress_ml.experiments.shadow import SIDE, Shadow
from gress_ml.experiments.split import BUCKETS, Split

__all__ = [
    "BUCKETS",
    "EXPERIMENTS_TOPIC",
    "KEYED",
    "RESULTS",
    "SIDE",
    "Arm",
    "Asked",
    "Assigner",
    "Assignment",
    "Comparison",
    "MissingKey",
    "Shadow",
    "Split",
    "Strategy",
    "Timers",
    "arms_of",
    "ask",
    "compare",
    "decode_split",
    "encode_split",
    "experiment_switch",
    "ids_of",
    "published_split",
]
