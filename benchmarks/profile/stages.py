"""Stages: what is watched on the way of a batch, and what each stage costs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.profile.flagship import Flagship
from benchmarks.profile.probe import Probe, Spent
from gress_ml.inference import Ensemble
from gress_ml.record import Record
from gress_ml.runtime import plan

_SHORT = 64  # rows
REST = "plan: the way through the steps"
STAGES = (
    "decode: parse and check",
    "decode: columns",
    "features: what to look up",
    "features: vector",
    "features: batch, measures",
    "model: trees",
    "model: network",
    "model: scale, blend",
    "selector: policy, columns, measures",
    "shell: deadlines, times",
    "encode: JSON",
    "encode: keys",
    REST,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stage spends on a batch."""

    us: float
    calls: float


def watch(flagship: Flagship) -> Probe:
    """A probe in every stage."""
    features, model = flagship.features, flagship.select.predictor
    assert isinstance(model, Ensemble)
    seams = (
        (flagship.plan.decoder, "parse"),
        (flagship.plan.decoder, "decode"),
        (features, "lookups"),
        (features.features, "transform"),
        (features, "process"),
        (model.trees, "predict"),
        (model.network, "predict"),
        (model, "predict"),
        (flagship.select, "stages"),
        (flagship.calls, "run"),
        (plan, "encode_rows"),
        (plan, "keys_of"),
    )
    probe = Probe(REST, time.perf_counter_ns)
    for (owner, name), stage in zip(seams, STAGES[:-1], strict=True):
        watch = probe.watch_generator if name == "stages" else probe.watch
        watch(owner, name, stage)
    return probe


def costs_of(
    flagship: Flagship, probe: Probe, batches: Sequence[Sequence[Record]], repeat: int
) -> dict[str, Cost]:
    """The cost of each stage per batch, by the quicker half of the runs.

    The slower half is what the machine did besides; of one half, the stages add up to the whole.
    A batch that outlasts a time slice is measured in CPU time, whose clock takes 2 µs to read; a
    smaller one by the wall's, 0.1 µs.
    """
    probe.clock = time.thread_time_ns if len(batches[0]) > _SHORT else time.perf_counter_ns
    runs = [partial(flagship.run, batch) for batch in batches]
    times = sorted((probe.time(run) for _ in range(repeat) for run in runs), key=_total)
    ns = _mean(times[: max(1, len(times) // 2)])
    calls = _mean([probe.count(run) for run in runs])
    return {stage: Cost(ns[stage] / 1e3, calls[stage]) for stage in STAGES}


def _total(spent: Spent) -> int:
    return sum(spent.values())


def _mean(found: Sequence[Spent]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for spent in found:
        total.update(spent)
    return {stage: total[stage] / len(found) for stage in STAGES}
