"""Topology: a checked graph of inputs, steps and outputs, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gress_ml.operator import BatchPolicy, Context, Operator, OperatorConfig
from gress_ml.schema import Columns, EventSchema
from gress_ml.topology.ml import MlSpec
from gress_ml.topology.spec import Guarantee

if TYPE_CHECKING:
    from gress_ml.expression import Expression
    from gress_ml.ports import ModelStore

AnyOperator = Operator[Any]


@dataclass(frozen=True, slots=True)
class Input:
    """A topic that is read. ``schema`` holds the columns that are used and the required fields."""

    name: str
    topic: str
    dead_letters: str
    schema: EventSchema
    max_bytes: int = 1 << 20  # of one message; a larger one is a dead letter


@dataclass(frozen=True, slots=True)
class Step:
    """One operator at its place. ``source`` is an input, a step, or ``step.side``."""

    name: str
    operator_class: type[AnyOperator]
    config: OperatorConfig
    source: str
    reads: frozenset[str] = frozenset()
    columns: Columns = field(default_factory=dict)  # of its source

    def open(self, models: ModelStore, topology: str) -> AnyOperator:
        """A new operator, opened. Raises ModelError, SchemaError."""
        operator = self.operator_class(self.config)
        operator.open(Context(models, topology, self.name, self.columns))
        return operator


@dataclass(frozen=True, slots=True)
class Output:
    """A topic that is written. ``fields`` maps the name in the JSON to the column."""

    name: str
    topic: str
    source: str
    fields: Mapping[str, str]
    when: Expression | None = None
    key: str | None = None  # a column; None keeps the key of the input record

    @property
    def reads(self) -> frozenset[str]:
        """Columns that the output needs, special ones among them."""
        columns = {*self.fields.values()}
        if self.when is not None:
            columns |= self.when.reads
        if self.key is not None:
            columns.add(self.key)
        return frozenset(columns)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the topology runs. Relative paths were resolved against the project folder."""

    guarantee: Guarantee = "at_least_once"
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    commit_interval_s: float = 0.1
    commit_bytes: int = 16 * 1024 * 1024
    checkpoint_interval_s: float = 30.0
    checkpoint_dir: Path = Path(".gress/checkpoints")
    ml: MlSpec = field(default_factory=MlSpec)
    project: Path = Path()


def step_of(source: str) -> str:
    """The step or input that a source names: ``step.side`` is of ``step``."""
    return source.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Topology:
    """A checked graph. ``steps`` stand in topological order: each after its source."""

    name: str
    inputs: Mapping[str, Input]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))

    def origin(self, source: str) -> str:
        """The input from which a source comes."""
        sources = {step.name: step.source for step in self.steps}
        name = step_of(source)
        while name not in self.inputs:
            name = step_of(sources[name])
        return name

    def steps_of(self, input_name: str) -> tuple[Step, ...]:
        """The steps that the records of an input reach, in topological order."""
        return tuple(step for step in self.steps if self.origin(step.source) == input_name)

    def outputs_of(self, input_name: str) -> tuple[Output, ...]:
        """The outputs that the records of an input reach."""
        return tuple(output for output in self.outputs if self.origin(output.source) == input_name)

    def columns_read(self, input_name: str) -> frozenset[str]:
        """The columns of an input's schema that a step or an output uses."""
        reads = frozenset[str]().union(
            *(step.reads for step in self.steps_of(input_name)),
            *(output.reads for output in self.outputs_of(input_name)),
        )
        return reads & {field.name for field in self.inputs[input_name].schema.fields}

    def build(self, models: ModelStore, input_name: str) -> list[tuple[Step, AnyOperator]]:
        """New operators, opened, for the steps of an input: one set serves one partition.

        Raises ModelError or SchemaError; operators opened before the failure are closed.
        """
        built: list[tuple[Step, AnyOperator]] = []
        with ExitStack() as opened:
            for step in self.steps_of(input_name):
                operator = step.open(models, self.name)
                opened.callback(operator.close)
                built.append((step, operator))
            opened.pop_all()
        return built
