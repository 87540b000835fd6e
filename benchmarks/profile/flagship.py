"""Flagship: the plan of the topology ``compression_selector``, run as a partition runs it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contenders import TOPOLOGY
from benchmarks.peers.names import TRANSFERS
from benchmarks.transfers import make_templates
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.calls import Calls
from gress_ml.engine.driving import Answers
from gress_ml.engine.planning import build_plan
from gress_ml.engine.stores import open_models
from gress_ml.operator import Lookup, Output
from gress_ml.record import FileRecord, Record
from gress_ml.runtime.plan import Call, Plan, Result
from gress_ml.topology.load import load_topology
from gress_ml_operators.compression_selector import CompressionSelector
from gress_ml_operators.feature_extraction import FeatureExtraction

#: Batches larger than the topology makes take longer than its deadline; none is in force here.
_NO_DEADLINE_MS = 1e6


class Flagship:
    """The plan, with the shell's way to call operators; looks nothing up, as nothing lacks."""

    def __init__(self) -> None:
        self.plan = open_plan()
        # as on one core: nothing is handed to another thread, where the probe would not see it
        self.calls = Calls(SystemClock(), PrometheusMetrics(), cores=1)
        features, select = (step.operator for step in self.plan.steps)
        assert isinstance(features, FeatureExtraction)
        assert isinstance(select, CompressionSelector)
        self.features, self.select = features, select
        select.config = select.config.model_copy(update={"inference_timeout_ms": _NO_DEADLINE_MS})

    def run(self, records: Sequence[Record]) -> Result:
        """Decide these records."""
        return decide(self.plan, self.calls, records)


def open_plan() -> Plan:
    """The plan of one partition of transfers."""
    topology = load_topology(TOPOLOGY, open_models)
    models = open_models(topology.settings.ml, topology.settings.project)
    return build_plan(topology, topology.inputs["transfers"], models)


def open_patient_plan() -> Plan:
    """The same without deadlines: on a busy machine all ways to drive it would be held to them."""
    plan = open_plan()
    for step in plan.steps:
        if step.operator.deadline_s is not None:
            config = step.operator.config
            step.operator.config = config.model_copy(update={"inference_timeout_ms": 0.0})
    return plan


async def no_rows(lookups: Sequence[Lookup]) -> Answers:
    """The shell's way to look up, where nothing may lack. Raises AssertionError."""
    raise AssertionError("the transfers bring their history, so nothing is looked up")


def decide(plan: Plan, calls: Calls, records: Sequence[Record]) -> Result:
    """Decide these records on the spot; they bring their history, so nothing is looked up."""
    flow = plan.run(TRANSFERS, 0, records)
    answer: Output | None = None
    while True:
        try:
            wish = flow.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result
        assert isinstance(wish, Call)
        made = calls.run(wish)
        assert isinstance(made, Output)
        answer = made


def make_batches(rows: int, count: int) -> list[list[FileRecord]]:
    """So many batches of so many different records, which bring their history."""
    templates = make_templates(rows * count)
    records = [FileRecord(i, one.body(i), one.key, i) for i, one in enumerate(templates)]
    return [records[i : i + rows] for i in range(0, rows * count, rows)]
