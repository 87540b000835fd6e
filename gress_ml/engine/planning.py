"""From a checked topology to what the runtime runs: one plan per partition of an input."""

from __future__ import annotations

from gress_ml.operator import BatchPolicy
from gress_ml.ports import ModelStore
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.plan import Plan, Route, Step
from gress_ml.runtime.task import TaskSettings
from gress_ml.topology.topology import Input, Output, Topology


def build_plan(topology: Topology, source: Input, models: ModelStore) -> Plan:
    """The plan for one partition of an input, its operators opened."""
    steps = [
        Step(step.name, operator, step.source)
        for step, operator in topology.build(models, source.name)
    ]
    routes = [_route(output) for output in topology.outputs_of(source.name)]
    return Plan(source.name, Decoder(source.schema, max_bytes=source.max_bytes), steps, routes)


def task_settings(topology: Topology, plan: Plan) -> TaskSettings:
    """How a partition is worked: the smallest batch and shortest wait that anyone asks for."""
    asked = [step.operator.batch_policy for step in plan.steps]
    policies = [topology.settings.batch, *(policy for policy in asked if policy is not None)]
    return TaskSettings(
        batch=BatchPolicy(min(p.size for p in policies), min(p.timeout_s for p in policies)),
        commit_interval_s=topology.settings.commit_interval_s,
        commit_bytes=topology.settings.commit_bytes,
        exclusive_commit=topology.settings.guarantee == "exactly_once",
        checkpoint_interval_s=topology.settings.checkpoint_interval_s,
    )


def _route(output: Output) -> Route:
    when = None if output.when is None else output.when.mask
    return Route(output.name, output.topic, output.source, output.fields, when, output.key)
