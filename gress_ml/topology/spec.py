"""The topology file, typed: every key, its type, its default and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from gress_ml.duration import Duration
from gress_ml.topology.block import Block
from gress_ml.topology.ml import MlSpec

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$")]
Source = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)?$")]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
ColumnName = Annotated[str, Field(min_length=1)]

#: Types that a field of an event can be declared with; vectors are made by operators only.
Guarantee = Literal["at_least_once", "exactly_once"]
FieldType = Literal["float", "int", "bool", "string", "timestamp", "json"]


class BatchSpec(Block):
    """How many records of a partition are worked on at once."""

    size: int = Field(default=2048, ge=1, le=100_000)
    """Most records per batch. An operator may ask for fewer."""
    timeout: Duration = 0.0
    """How long the first waiting record may wait for company; `0ms` takes what is there."""


class FieldSpec(Block):
    """One field of an event. A field that is only a type may be written `name: type`."""

    type: FieldType
    """Type of the values."""
    required: bool = False
    """Whether an event without it is a bad row (it goes to the dead-letter topic)."""
    default: Any = None
    """Value where the event has none."""
    minimum: float | None = None
    """Smallest value allowed; a smaller one is a bad row."""
    maximum: float | None = None
    """Largest value allowed; a larger one is a bad row."""
    choices: tuple[str, ...] | None = None
    """The values allowed; any other is a bad row."""
    unit: str = ""
    """Unit, for people."""
    description: str = ""
    """Meaning, for people."""
    path: str = ""
    """Where it stands in the event, with dots down into objects; the field's name by default."""


def _field(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


FieldEntry = Annotated[
    FieldSpec,
    BeforeValidator(_field),
    Field(json_schema_extra={"short_form": "type"}),
]


class InputSpec(Block):
    """A topic to read. Declare its events by `schema` (a named schema) or by `fields`."""

    topic: Topic
    """Topic to read."""
    dead_letters: Topic | None = None
    """Topic for bad records; `<topic>.dlq` by default."""
    max_bytes: int = Field(default=1_048_576, ge=1)
    """Largest message that is decoded; a larger one is a dead letter."""
    schema_name: str | None = Field(default=None, alias="schema")
    """A named schema, such as `dwcp.transfer`."""
    event_time: str | None = None
    """Timestamp field that is the event's time; without one, the record's own timestamp counts."""
    fields: Mapping[ColumnName, FieldEntry] | None = None
    """The fields of an event; fields that are not named here are ignored."""


class StepSpec(Block):
    """One operator at its place in the graph."""

    name: Name
    """Name of the step; other steps and outputs refer to it."""
    operator: str = Field(min_length=1)
    """Name of the operator."""
    input: Source | None = None
    """An input, a step or `step.side`; by default the previous step, or the only input."""
    config: Mapping[str, Any] = Field(default_factory=dict)
    """Configuration of the operator."""


class OutputSpec(Block):
    """A topic to write: one JSON object per row."""

    topic: Topic
    """Topic to write."""
    source: Source | None = Field(default=None, alias="from")
    """An input, a step or `step.side`; the last step by default."""
    when: str | None = Field(default=None, min_length=1)
    """Expression over the columns; rows where it is not true are left out."""
    fields: tuple[ColumnName, ...] | Mapping[ColumnName, ColumnName]
    """Columns to write: a list, or a mapping from the name in the JSON to the column."""
    key: ColumnName | None = None
    """Column that is the key of the message; the input record's key by default."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Name in the JSON to column."""
        if isinstance(self.fields, Mapping):
            return self.fields
        return {name: name for name in self.fields}


class TopologySpec(Block):
    """A gress-ml topology: from input topics through steps to output topics."""

    name: Topic
    """Name of the topology; it is the consumer group too."""
    guarantee: Guarantee = "at_least_once"
    """What a crash may cost. `at_least_once`: some outputs are written twice. `exactly_once`:
    outputs, dead letters and offsets commit in Kafka transactions; readers set `read_committed`."""
    batch: BatchSpec = Field(default_factory=BatchSpec)
    """How many records are worked on at once."""
    commit_interval: Duration = 0.1
    """Time between two commits of offsets; under `exactly_once` the length of a transaction, and so
    what readers wait for."""
    commit_bytes: PositiveInt = 16_777_216
    """Bytes of outputs, per partition, after which a commit is due before its time."""
    checkpoint_interval: Duration = 30.0
    """Time between two checkpoints of the steps' state."""
    checkpoint_dir: str = ".gress/checkpoints"
    """Folder of the checkpoints; a relative path starts at the project folder."""
    inputs: Mapping[Name, InputSpec] = Field(min_length=1)
    """Topics to read."""
    steps: tuple[StepSpec, ...] = ()
    """Operators, each after its input."""
    outputs: Mapping[Name, OutputSpec] = Field(default_factory=dict)
    """Topics to write."""
    ml: MlSpec = Field(default_factory=MlSpec)
    """Models, feature store and inference defaults."""
