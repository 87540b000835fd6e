"""The one interface of an operator: batch in, columns, batch out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from gress_ml.batch import Batch
from gress_ml.bundle import Bundle, Publication
from gress_ml.metrics import Measure, Metric
from gress_ml.ports import ModelStore
from gress_ml.schema import Columns


class OperatorConfig(BaseModel):
    """Base of an operator's configuration: frozen, strict about names, documented per field.

    Put a docstring under each field; the reference page and the editor's help come from it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def takes_default(cls, name: str, given: Mapping[str, Any]) -> bool:
        """Whether a step with these keys takes the ml block's default for one that it leaves out.

        Asked for fields that name one (``ml_default``).
        """
        return True


C = TypeVar("C", bound=OperatorConfig)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that goes to the dead-letter topic: which record it was, and why."""

    offset: int
    code: str  # lower_snake_case, stable: programs match on it
    message: str  # for people: what was found, what was expected


@dataclass(frozen=True, slots=True)
class Lookup:
    """A wish for rows of the feature store. The shell fetches it in one round trip per batch.

    The answer comes as the vector column ``name``, float32 of shape (n, len(fields)); NaN where the
    store has no row. When the store is away all is NaN and ``feature_store`` is in
    ``batch.degraded``.
    """

    name: str
    table: str
    fields: tuple[str, ...]
    keys: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Write:
    """Rows to put into the feature store before the commit. The last of a key wins."""

    table: str
    fields: tuple[str, ...]
    keys: Sequence[bytes]
    rows: npt.NDArray[np.float32]  # (len(keys), len(fields))


@dataclass(frozen=True, slots=True)
class Later:
    """Work for after the answer has left: what it makes goes to the side stream ``side``.

    ``stages`` takes ``batch``, or any part of it: as with ``process``, how it was cut does not show
    in the result. It reads no state. Its output's ``batch`` is rows of the side stream, and its
    measures are recorded; there are no other effects. The shell does it when it has nothing better
    to do, and may let it go, whole or in part: then ``shed``, a counter with its labels, grows by
    the rows. Commits do not wait for it, so nothing may depend on it.
    """

    side: str
    batch: Batch
    stages: Callable[[Batch], Stages]
    shed: tuple[Metric, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """What an operator made of a batch. Effects are returned, not performed (law 7).

    Each row of the input is in ``batch`` or in ``rejected``, under its own offset. ``side`` holds
    further named streams that a topology may route (``from: step.name``); rows there are extra.
    ``later`` is work beside the path of the answer; it is not done while a state is replayed.
    """

    batch: Batch
    rejected: Sequence[Rejected] = ()
    writes: Sequence[Write] = ()
    side: Mapping[str, Batch] = field(default_factory=dict)
    measures: Sequence[Measure] = ()
    logs: Sequence[Mapping[str, Any]] = ()
    later: Sequence[Later] = ()
    publications: Sequence[Publication] = ()


#: Work that touches no state and may run in another thread, such as to ask a model.
Work = Callable[[], Any]
#: ``process`` in stages: yields work, is sent what it returned, and returns the Output.
Stages = Generator[Work, Any, Output]


@dataclass(frozen=True, slots=True)
class Timed:
    """Work whose time the shell observes into these histograms, as an operator sees no clock."""

    work: Work
    timers: Sequence[tuple[Metric, tuple[str, ...]]]

    def __call__(self) -> Any:
        return self.work()


def in_one_go(stages: Stages, do: Callable[[Work], Any] = lambda work: work()) -> Output:
    """The output of the stages, all their work done on the spot; ``do`` does one piece of it."""
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            work = stages.send(answer) if error is None else stages.throw(error)
        except StopIteration as end:
            output: Output = end.value
            return output
        answer, error = None, None
        try:
            answer = do(work)
        except Exception as raised:  # the operator decides what failed work means
            error = raised


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an operator as bytes, with the version of its layout. Never a pickle."""

    version: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A wish for the checkpoints that hold an operator's state."""

    model: str
    version: str
    interval_s: float | None = None  # time between two; that of the topology unless given


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How many rows an operator wants at once, and how long the first may wait for company.

    ``timeout_s`` counts from the first waiting record; 0 takes what is there, so a lone record
    never waits.
    """

    size: int = 2048
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """What an operator may use while it opens."""

    models: ModelStore
    topology: str = ""
    step: str = ""
    #: The columns of the step's input, as its ``signature`` is given them; empty where a fault of
    #: the topology hides them.
    columns: Columns = field(default_factory=dict)

    def find_model(self, name_at_reference: str) -> Bundle:
        """The bundle for ``name`` or ``name@reference``; without one, the ``champion``.

        Raises ModelNotFound, ModelCorrupt, StoreUnavailable.
        """
        name, _, reference = name_at_reference.partition("@")
        return self.models.find(name, reference or "champion")


@dataclass(frozen=True, slots=True)
class Example:
    """Config, rows in and rows out: documentation, schema example and test in one.

    ``rows`` are events as a topic would carry them, typed by ``columns``; ``expected`` lists the
    columns to compare per row that came out; ``rejected`` the codes, by row index.
    ``models`` names a folder of model bundles relative to the operator's file, if it needs one.
    """

    title: str
    config: Mapping[str, Any]
    columns: Columns
    rows: Sequence[Mapping[str, Any]]
    expected: Sequence[Mapping[str, Any]]
    rejected: Mapping[int, str] = field(default_factory=dict)
    models: str = ""


class Operator(ABC, Generic[C]):
    """Same state and same batch give the same output: no clock, no network, no unseeded chance.

    ``process(a + b)`` equals ``process(a)`` followed by ``process(b)``: how the stream happened to
    be cut into batches never shows in the result. Depth one: derive from this class only, share by
    functions. One instance serves one partition, and joint batches when it is ``partition_free``.
    """

    #: The name that a topology uses.
    name: ClassVar[str]
    #: The configuration's type; ``config`` is checked against it before ``__init__``.
    Config: ClassVar[type[OperatorConfig]]
    examples: ClassVar[Sequence[Example]] = ()
    #: Contract checks that do not hold here, each with its reason (see ``gress_ml.testing``).
    waivers: ClassVar[Mapping[str, str]] = {}
    #: Whether rows of several partitions may come in one joint batch, where the operator has no
    #: state: nothing depends on which partition a row is of, and nothing is written.
    partition_free: ClassVar[bool] = False

    def __init__(self, config: C) -> None:
        """Store the configuration; no I/O here."""
        self.config = config

    def open(self, context: Context) -> None:
        """Get ready, once, before all else: may load a model. Raises ModelError, SchemaError."""

    @abstractmethod
    def reads(self) -> frozenset[str]:
        """Names of the input columns that ``lookups`` and ``process`` use (after ``open``)."""

    @abstractmethod
    def signature(self, columns: Columns) -> Columns:
        """Columns that come out, given those that come in (after ``open``). Raises SchemaError."""

    def sides(self, columns: Columns) -> Mapping[str, Columns]:
        """Columns of each side stream, late ones too, by its name, given those that come in."""
        return {}

    @property
    def late_sides(self) -> frozenset[str]:
        """Those of ``sides`` that come from ``Output.later``: outputs may read them, steps not."""
        return frozenset()

    def lookups(self, batch: Batch) -> Sequence[Lookup]:
        """What to fetch for this batch; the answers are columns of the batch in ``process``."""
        return ()

    @abstractmethod
    def process(self, batch: Batch) -> Output:
        """The work. Trouble with one row is data; an exception fails the whole batch."""

    def stages(self, batch: Batch) -> Stages | None:
        """``process`` in stages, with the same output; None when the operator has none.

        The shell may do the work that is yielded in a thread and go on with other partitions, which
        pays when it lets go of Python's lock, as run-time libraries of models do. A switch may come
        meanwhile, a second batch not. ``process`` is then ``in_one_go(self.stages(batch))``.
        """
        return None

    # --- batching and deadlines: asked once, after open -------------------------------------------

    @property
    def batch_policy(self) -> BatchPolicy | None:
        """The batches this operator wants; None when it does not care."""
        return None

    @property
    def deadline_s(self) -> float | None:
        """How long ``process`` may take. Past it the shell uses ``fallback``; None is no limit.

        An operator with a deadline is stateless, since a late ``process`` may still be running.
        """
        return None

    @property
    def warmed_up(self) -> bool:
        """Whether ``open`` has done the work on whole batches, so that it is known to be quick."""
        return False

    @property
    def max_concurrency(self) -> int:
        """Calls of ``process`` that may run at once in a worker when there is a deadline."""
        return 1

    def fallback(self, batch: Batch, cause: str) -> Output:
        """The answer without the work, at once: ``cause`` is ``timeout`` or ``overload``."""
        raise NotImplementedError(f"operator {self.name!r} has a deadline and no fallback")

    @property
    def timer(self) -> tuple[Metric, tuple[str, ...]] | None:
        """The histogram, with label values, that the shell feeds with each call's time."""
        return None

    @property
    def timers(self) -> Sequence[tuple[Metric, tuple[str, ...]]]:
        """All such histograms, each fed in its own unit (``Metric.per_second``)."""
        return () if self.timer is None else (self.timer,)

    def control(self, switch: str, value: str) -> bool:
        """Take a run-time switch between two batches; True when it was for this operator."""
        return False

    # --- state ------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot | None:
        """The state as it is after the last batch; None when there is no state."""
        return None

    def restore(self, snapshot: Snapshot) -> None:
        """Become the state that was saved. Raises SnapshotError for an unknown version."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """How checkpoints are kept, where the operator has a say (after ``open``)."""
        return None

    def close(self) -> None:
        """Let go of resources; safe to call twice."""
