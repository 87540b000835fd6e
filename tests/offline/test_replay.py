"""A topology over files: the same plan and task as on Kafka, other ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml import Batch, ColumnType, EventSchema, Field, Operator, OperatorConfig, Output
from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.errors import ConfigError
from gress_ml.offline.replay import replay
from gress_ml.offline.run import OfflineRun
from gress_ml.operator import BatchPolicy
from gress_ml.record import FileRecord
from gress_ml.schema import Columns
from gress_ml.topology.topology import Input, Settings, Step, Topology
from gress_ml.topology.topology import Output as Leaving


class Nothing(OperatorConfig):
    pass


class Double(Operator[Nothing]):
    name = "double"
    Config = Nothing

    def reads(self) -> frozenset[str]:
        return frozenset({"x"})

    def signature(self, columns: Columns) -> Columns:
        return columns

    def process(self, batch: Batch) -> Output:
        return Output(batch.with_columns({"y": np.asarray(batch["x"]) * 2}))


def topology(size: int = 512) -> Topology:
    schema = EventSchema("numbers", (Field("x", ColumnType.FLOAT, required=True),))
    fields = {"decision_id": "decision_id", "y": "y"}
    return Topology(
        "numbers",
        {"numbers": Input("numbers", "in", "in.dlq", schema)},
        (Step("double", Double, Nothing(), "numbers", frozenset({"x"})),),
        (Leaving("out", "out", "double", fields),),
        Settings(batch=BatchPolicy(size)),
    )


def offline(size: int = 512) -> tuple[OfflineRun, Input]:
    graph = topology(size)
    run = OfflineRun(graph, None, MemoryFeatures(ManualClock()))  # type: ignore[arg-type]
    return run, graph.inputs["numbers"]


async def test_a_line_is_an_offset_and_bad_lines_become_dead_letters(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(b'{"x": 1}\n{bad\n\n{"x": 2}\r\n')
    run, source = offline()
    counts = await replay(run, source, events, tmp_path / "out")
    out = [json.loads(line) for line in (tmp_path / "out/out.jsonl").read_text().splitlines()]
    assert out == [{"decision_id": "in-0-0", "y": 2.0}, {"decision_id": "in-0-3", "y": 4.0}]
    dead = [json.loads(line) for line in (tmp_path / "out/in.dlq.jsonl").read_text().splitlines()]
    assert [(letter["row"], letter["code"]) for letter in dead] == [
        (1, "invalid_json"),
        (2, "invalid_json"),
    ]
    assert (counts.events, counts.outputs, counts.dead_letters) == (4, 2, 2)


async def test_an_empty_file_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    run, source = offline()
    counts = await replay(run, source, tmp_path / "events.jsonl", tmp_path / "out")
    assert (counts.events, counts.outputs, counts.dead_letters) == (0, 0, 0)


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    run, source = offline()
    with pytest.raises(ConfigError, match=r"nowhere\.jsonl: No such file"):
        await replay(run, source, tmp_path / "nowhere.jsonl", tmp_path / "out")


@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.integers(1, 9))
async def test_how_the_file_is_cut_into_batches_never_shows(values: list[float], size: int) -> None:
    records = [FileRecord(i, json.dumps({"x": x}).encode()) for i, x in enumerate(values)]
    whole, source = offline()
    cut, _ = offline(size)
    expected = [sent for made in await whole.run(source, records) for sent in made.sent]
    assert [sent for made in await cut.run(source, records) for sent in made.sent] == expected
