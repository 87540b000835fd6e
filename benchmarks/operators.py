"""``python -m benchmarks.operators``: what an operator adds to the cost of an event.

The plan of the flagship in one process, without Kafka, with and without the operator, in turn and
in batches of 256. Read the ratios: absolute times are those of the machine of the moment. To add an
operator, add a row to ``ROWS`` with its plan and that of its counterpart.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import ROOT, TOPOLOGY
from benchmarks.lookups import PAUSE_S, looking_up, pausing, without_history
from benchmarks.profile.flagship import decide, make_batches
from benchmarks.windows import KEYS, WINDOW, extracting
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.dev.servers import Servers
from gress_ml.engine.calls import Calls
from gress_ml.engine.planning import build_plan
from gress_ml.engine.stores import open_models
from gress_ml.operator import in_one_go
from gress_ml.record import FileRecord
from gress_ml.registry import Registry
from gress_ml.runtime.plan import Plan, Result
from gress_ml.topology.load import load_topology

_ROWS = 256
_BATCHES = 32  # of different rows
_MODEL = "compression-selector"
_COPY = "copy-of-the-selector"  # another model to the worker, with the same answers
_STEP = "  - name: select\n"
_AFTER = "  - name: history\n"
_FIELDS = ["prediction", "confidence", "probabilities", "prediction_metadata"]

Batches = Sequence[Sequence[FileRecord]]
Measured = Callable[[Batches], Mapping[str, float]]  # µs per event, by part


@dataclass(frozen=True, slots=True)
class Row:
    """One operator: what is measured with and without it, and how much more it may cost."""

    name: str
    bound: str
    without: Measured
    with_it: Measured
    reached: Callable[[Mapping[str, float], Mapping[str, float]], bool] | None  # None: no bound
    events: Callable[[Batches], Batches] = list  # made of the flagship's


def topology_text(step: str, fields: Sequence[str]) -> str:
    """The flagship's file with another step in the place of ``select``."""
    text = TOPOLOGY.read_text()
    before, _, rest = text.partition(_STEP)
    _, _, after = rest.partition(_AFTER)
    head, _, _ = f"{before}{step}{_AFTER}{after}".partition("\n    fields:\n")
    names = ["decision_id", "request_id", "vm_id", *fields, "degraded"]
    return f"{head}\n    fields: [{', '.join(names)}]\n"


def plan_of(step: str, fields: Sequence[str]) -> Plan:
    """The plan of the transfers with this step, in YAML, after the features."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "topologies").mkdir()
        shutil.copytree(ROOT / "models", Path(folder) / "models")
        Registry(Path(folder) / "models").push(ROOT / "models" / _MODEL / "1.0.0", _COPY, "1.0.0")
        file = Path(folder) / "topologies" / "plan.yaml"
        file.write_text(topology_text(step, fields))
        topology = load_topology(file, open_models)
        models = open_models(topology.settings.ml, topology.settings.project)
        return build_plan(topology, topology.inputs["transfers"], models)


def decided(plan: Plan) -> Measured:
    """The path of the answer, and beside it what is left for later, both by their CPU time."""
    calls = Calls(SystemClock(), PrometheusMetrics(), cores=1)  # as on one core: all on the spot

    def measure(batches: Batches) -> Mapping[str, float]:
        path_s = later_s = model_s = 0.0
        for batch in batches:
            started = time.thread_time()
            result = decide(plan, calls, batch)
            path_s += time.thread_time() - started
            later, model = _afterwards(plan, result)
            later_s, model_s = later_s + later, model_s + model
        events = sum(map(len, batches))
        parts = {"answer": path_s, "later": later_s - model_s, "later's model": model_s}
        return {name: spent_s / events * 1e6 for name, spent_s in parts.items()}

    return measure


def _afterwards(plan: Plan, result: Result) -> tuple[float, float]:
    """CPU seconds of the late work, and those of them that its models took."""
    model_s = 0.0

    def do(work: Callable[[], object]) -> object:
        nonlocal model_s
        started = time.thread_time()
        answer = work()
        model_s += time.thread_time() - started
        return answer

    started = time.thread_time()
    for late in result.late:
        output = in_one_go(late.later.stages(late.later.batch), do)
        plan.leaving(late.stream, output.batch)
    return time.thread_time() - started, model_s


# --- A/B test -------------------------------------------------------------------------------------

_INFERENCE = f"""\
  - name: select
    operator: inference
    config: {{model: {_MODEL}, batch_size: 1000}}

"""


def ab_test_step(*, shadow: bool, other: str = _MODEL) -> str:
    """A step of two arms, in YAML: the flagship's model, and the same or its copy."""
    arms = "".join(
        f"        - {{name: {name}, model_name: {model}, model_version: 1.0.0, weight: {weight}}}\n"
        for name, model, weight in (("control", _MODEL, 80), ("treatment", other, 20))
    )
    return f"""\
  - name: select
    operator: ab_test
    config:
      experiment: same-model
      split_key: vm_id
      batch_size: 1000
      enable_shadow_mode: {str(shadow).lower()}
      variants:
{arms}
"""


def _inference() -> Measured:
    return decided(plan_of(_INFERENCE, _FIELDS))


def _split() -> Measured:
    return decided(plan_of(ab_test_step(shadow=False), CHOSEN))


def _split_in_two_calls() -> Measured:
    return decided(plan_of(ab_test_step(shadow=False, other=_COPY), CHOSEN))


def _shadowed() -> Measured:
    return decided(plan_of(ab_test_step(shadow=True), CHOSEN))


# --- state ----------------------------------------------------------------------------------------


def flagship(*, lookup: bool) -> Plan:
    """The plan of the transfers as it is shipped, or without its look-up."""
    text = TOPOLOGY.read_text().replace("inference_timeout_ms: 10", "inference_timeout_ms: 0")
    head, mark, tail = text.partition("      # History that the event does not bring")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "topologies").mkdir()
        shutil.copytree(ROOT / "models", Path(folder) / "models")
        file = Path(folder) / "topologies" / "plan.yaml"
        rest = tail if lookup else tail[tail.index("\n  - name: select") :]
        file.write_text(f"{head}{mark}{rest}")
        topology = load_topology(file, open_models)
        models = open_models(topology.settings.ml, topology.settings.project)
        return build_plan(topology, topology.inputs["transfers"], models)


CHOSEN = [*_FIELDS, "ab_variant", "ab_experiment", "propensity"]


def rows(redis: str) -> Sequence[Row]:
    """The operators that are measured; ``redis`` is an address."""
    no_lookup = looking_up(flagship(lookup=False), redis)
    return (
        Row(
            "look-ups from Redis, one per event",
            "15 % of the whole",
            no_lookup,
            looking_up(flagship(lookup=True), redis),
            lambda plain, asked: asked["answer"] <= 1.15 * plain["answer"],
            without_history,
        ),
        Row(
            f"a pause of {PAUSE_S * 1000:g} ms in the place of Redis",
            "none: what it costs to rest",
            no_lookup,
            pausing(flagship(lookup=True)),
            None,
            without_history,
        ),
        Row(
            f"aggregation, 10 minutes, {KEYS:,} keys, in feature_extraction alone",
            "2 µs",
            extracting(),
            extracting(WINDOW),
            lambda plain, summed: summed["answer"] - plain["answer"] <= 2.0,
        ),
        Row(
            "ab_test, two arms of one model, beside inference",
            "10 % of the whole",
            _inference(),
            _split(),
            lambda plain, ab: ab["answer"] <= 1.10 * plain["answer"],
        ),
        Row(
            "ab_test, two models of equal size",
            "none: it is two calls",
            _inference(),
            _split_in_two_calls(),
            None,
        ),
        Row(
            "shadow of one more arm, on the event loop",
            "the time of its model",
            _split(),
            _shadowed(),
            lambda off, on: on["answer"] - off["answer"] + on["later"] <= on["later's model"],
        ),
    )


# --- measuring ------------------------------------------------------------------------------------


def measure(row: Row, batches: Batches, rounds: int) -> tuple[Mapping[str, float], ...]:
    """Medians without and with the operator, measured in turn; the first round warms up."""
    found: tuple[list[Mapping[str, float]], ...] = ([], [])
    for number in range(rounds + 1):
        for side, way in enumerate((row.without, row.with_it)):
            costs = way(batches)
            if number:
                found[side].append(costs)
    return tuple(
        {name: statistics.median(costs[name] for costs in side) for name in side[0]}
        for side in found
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What an operator adds to the cost of an event.")
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder))
        try:
            Console(width=140).print(measured(servers.up(["redis"]).redis, rounds))
        finally:
            servers.down()


def measured(redis: str, rounds: int) -> Table:
    """All rows, as a table."""
    table = Table("operator", "part", "µs per event: without", "with", "more", "bound", "reached")
    batches = make_batches(_ROWS, _BATCHES)
    for row in rows(redis):
        gc.freeze()  # as the worker does when it opens a partition
        without, with_it = measure(row, row.events(batches), rounds)
        for at, part in enumerate(without):
            told = (row.name, row.bound, _reached(row, without, with_it))
            name, bound, reached = told if at == 0 else ("", "", "")
            more = with_it[part] - without[part]
            share = f" ({more / without[part]:+.1%})" if without[part] else ""
            cells = (f"{without[part]:.2f}", f"{with_it[part]:.2f}", f"{more:+.2f}{share}")
            table.add_row(name, part, *cells, bound, reached)
    return table


def _reached(row: Row, without: Mapping[str, float], with_it: Mapping[str, float]) -> str:
    if row.reached is None:
        return ""
    return "yes" if row.reached(without, with_it) else "no"


if __name__ == "__main__":
    main()
