"""A bench with models: two steps that use the same one and count, in an operator of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import Bench
from typer.testing import CliRunner

from gress_ml.adapters.kafka.decided import Decided, decided_by, read_decided
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.models import app

TREES = Path(__file__).parents[2] / "data" / "models" / "tiny-trees" / "1.0.0" / "trees.onnx"
MODEL = "factor"

TIMES = '''
"""Times: multiplies by the factor in its model's metadata, and counts its rows."""
import json
from typing import ClassVar
import numpy as np
from gress_ml import Batch, Column, Columns, ColumnType, Context, Operator, OperatorConfig, Output
from gress_ml import Snapshot, columns_of

class TimesConfig(OperatorConfig):
    model: str = "factor"
    """The model."""
    prefix: str = ""
    """Of the columns made."""

class Times(Operator[TimesConfig]):
    name = "times"
    Config = TimesConfig

    def open(self, context: Context) -> None:
        bundle = context.find_model(self.config.model)
        self._said = json.loads(bundle.require("metadata").read_text())
        self._version = bundle.version
        self._count = 0

    def reads(self) -> frozenset[str]:
        return frozenset({"id"})

    def signature(self, columns: Columns) -> Columns:
        kind = ColumnType.STRING if self._said.get("text") else ColumnType.INT
        made = [("product", kind), ("count", ColumnType.INT), ("version", ColumnType.STRING)]
        named = [Column(self.config.prefix + name, kind) for name, kind in made]
        return columns_of((*columns.values(), *named))

    def process(self, batch: Batch) -> Output:
        rows = len(batch)
        made = {
            "product": np.array(batch["id"] * self._said["factor"], np.int64),
            "count": np.arange(self._count, self._count + rows),
            "version": np.full(rows, self._version, object),
        }
        self._count += rows
        named = {self.config.prefix + name: column for name, column in made.items()}
        return Output(batch.with_columns(named))

    def snapshot(self) -> Snapshot:
        return Snapshot(1, str(self._count).encode())

    def restore(self, snapshot: Snapshot) -> None:
        self._count = int(snapshot.data)
'''

TEXT = """
name: {name}
guarantee: {guarantee}
batch: {{size: 16, timeout: 0ms}}
commit_interval: 50ms
checkpoint_interval: {checkpoint}
ml:
  model_registry: {registry}
inputs:
  events:
    topic: {source}
    fields:
      id: {{type: int, required: true}}
      vm: {{type: string, required: true}}
steps:
  - name: one
    operator: times
  - name: two
    operator: times
    config: {{prefix: two_}}
outputs:
  decisions:
    topic: {target}
    from: two
    fields: [decision_id, id, vm, product, count, version, two_product, two_version]
"""


class Models:
    """The registry of a bench, and ``gress models`` on it."""

    def __init__(self, bench: Bench, address: str) -> None:
        self.bench = bench
        self.address = address

    @classmethod
    async def of(cls, bench: Bench, address: str) -> Models:
        """With versions 1.0.0 (factor 10, champion) and 2.0.0 (factor 100) of a model."""
        bench.file.parent.with_name("operators").joinpath("times.py").write_text(TIMES)
        models = cls(bench, address)
        await models.push("1.0.0", 10, "--alias", "champion")
        await models.push("2.0.0", 100)
        return models

    async def push(self, version: str, factor: int, *options: str, **said: Any) -> None:
        folder = self.bench.folder / f"files-{version}"
        folder.mkdir()
        shutil.copy(TREES, folder)
        (folder / "metadata.json").write_text(json.dumps({"factor": factor, **said}))
        await self.gress("push", str(folder), MODEL, version, *options)

    async def gress(self, *arguments: str, announce: bool = True) -> str:
        """``gress models``; tells the workers by Kafka unless told not to."""
        given = [*arguments, "--registry", self.address]
        if announce and arguments[0] in ("alias", "rollback", "history"):
            given += ["--kafka", self.bench.bootstrap]
        result = await asyncio.to_thread(CliRunner().invoke, app, given)
        assert result.exception is None, (arguments, result.exception, result.output)
        return result.output

    async def told(self) -> Sequence[Decided]:
        """What is known about who decided in this bench."""
        client = KafkaSettings(bootstrap=self.bench.bootstrap).client
        return [one for one in await read_decided(client) if one.topology == self.bench.name]

    async def decided_with(self, version: str, partitions: int, since: int = 0) -> bool:
        """Whether this version decided an event of this id or later in so many partitions."""
        found = await self.bench.decisions()
        return partitions <= len(
            {place(d)[0] for d in found if d["version"] == version and d["id"] >= since}
        )


def place(decision: Mapping[str, Any]) -> tuple[int, int]:
    """Partition and offset of the event that was decided."""
    _, partition, offset = decision["decision_id"].rsplit("-", 2)
    return int(partition), int(offset)


def assert_by_one_version_each(decisions: Sequence[Mapping[str, Any]]) -> None:
    """Version and result belong together, and both steps had the same one."""
    factors = {"1.0.0": 10, "2.0.0": 100}
    for one in decisions:
        product = one["id"] * factors[one["version"]]
        assert one["version"] == one["two_version"], one
        assert (one["product"], one["two_product"]) == (product, product), one


def runs(decisions: Sequence[Mapping[str, Any]]) -> dict[int, list[tuple[int, str]]]:
    """By partition: from which offset on which version decided."""
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for one in sorted(decisions, key=place):
        partition, offset = place(one)
        if not found[partition] or found[partition][-1][1] != one["version"]:
            found[partition].append((offset, one["version"]))
    return found


def assert_history_tells(
    told: Sequence[Decided], topic: str, decisions: Sequence[Mapping[str, Any]]
) -> None:
    """For each event that was decided, the history names the version that did it."""
    for one in decisions:
        (answer,) = decided_by(told, topic, *place(one))
        assert (answer.model, answer.version) == (MODEL, one["version"]), (one, answer)
