"""From a checked topology to what the runtime runs: one plan per partition of an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from gress_ml.bundle import ModelUse
from gress_ml.engine.models import Noted
from gress_ml.errors import SchemaError
from gress_ml.operator import BatchPolicy
from gress_ml.ports import ModelStore
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.plan import Plan, Route, Step
from gress_ml.runtime.task import TaskSettings
from gress_ml.schema import Columns
from gress_ml.topology.topology import Input, Output, Topology


def build_plan(topology: Topology, source: Input, models: ModelStore) -> Plan:
    """The plan for one partition of an input, its operators opened."""
    steps = _opened(topology, source, models, lambda _: True)
    routes = [_route(output) for output in topology.outputs_of(source.name)]
    return Plan(source.name, Decoder(source.schema, max_bytes=source.max_bytes), steps, routes)


def reopened(
    topology: Topology,
    source: Input,
    running: Sequence[Step],
    models: ModelStore,
    affected: Callable[[Sequence[ModelUse]], bool],
) -> list[Step]:
    """The affected steps of a running plan, opened anew: they fit in the place of the old ones.

    All streams must have the columns that they had, a step with state to the letter: what it
    remembers goes on. Raises ModelError, SchemaError, and what an operator raises.
    """
    names = {step.name for step in running if affected(step.uses)}
    steps = _opened(topology, source, models, lambda name: name in names)
    try:
        new = {step.name: step for step in steps}
        _require_fit(source, running, [new.get(step.name, step) for step in running])
    except BaseException:
        for step in steps:
            step.operator.close()
        raise
    return steps


def task_settings(topology: Topology, plan: Plan) -> TaskSettings:
    """How a partition is worked: the smallest batch and shortest wait that anyone asks for."""
    asked = [step.operator.batch_policy for step in plan.steps]
    intervals = [one.interval_s for one in plan.checkpoints if one.interval_s is not None]
    policies = [topology.settings.batch, *(policy for policy in asked if policy is not None)]
    return TaskSettings(
        batch=BatchPolicy(min(p.size for p in policies), min(p.timeout_s for p in policies)),
        commit_interval_s=topology.settings.commit_interval_s,
        commit_bytes=topology.settings.commit_bytes,
        exclusive_commit=topology.settings.guarantee == "exactly_once",
        checkpoint_interval_s=min(intervals, default=topology.settings.checkpoint_interval_s),
    )


def _opened(
    topology: Topology, source: Input, models: ModelStore, wanted: Callable[[str], bool]
) -> list[Step]:
    """Steps of an input, opened; those opened before a failure are closed."""
    steps: list[Step] = []
    with ExitStack() as opened:
        for step in topology.steps_of(source.name):
            if wanted(step.name):
                noted = Noted(models)
                operator = step.open(noted, topology.name)
                opened.callback(operator.close)
                steps.append(Step(step.name, operator, step.source, noted.uses))
        opened.pop_all()
    return steps


def _require_fit(source: Input, old: Sequence[Step], new: Sequence[Step]) -> None:
    before, after = _streams(source, old), _streams(source, new)
    for name, columns in before.items():
        if _without_features(columns) != _without_features(after.get(name, {})):
            raise SchemaError(f"the stream {name!r} would have other columns: restart the workers")
    for one, other in zip(old, new, strict=True):
        stateful = one is not other and one.operator.snapshot() is not None
        if stateful and before[one.name] != after[one.name]:
            raise SchemaError(
                f"step {one.name!r} has state and would have other features: restart the workers"
            )


def _streams(source: Input, steps: Sequence[Step]) -> Mapping[str, Columns]:
    """The columns of every stream of a plan. Raises SchemaError."""
    found: dict[str, Columns] = {source.name: source.schema.columns}
    for step in steps:
        columns = found[step.source]
        missing = step.operator.reads() - columns.keys()
        if missing:
            raise SchemaError(
                f"step {step.name!r} would read {sorted(missing)}, which are not decoded: "
                "restart the workers"
            )
        found[step.name] = step.operator.signature(columns)
        for side, inside in step.operator.sides(columns).items():
            found[f"{step.name}.{side}"] = inside
    return found


def _without_features(columns: Columns) -> Columns:
    """Vectors as vectors: which features are in them, the steps that read them have checked."""
    return {name: replace(column, features=None) for name, column in columns.items()}


def _route(output: Output) -> Route:
    when = None if output.when is None else output.when.mask
    return Route(output.name, output.topic, output.source, output.fields, when, output.key)
