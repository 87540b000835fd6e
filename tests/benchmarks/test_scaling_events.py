"""The events of the scaling benchmark: the sizes and keys that were asked for, and all decided."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from benchmarks.scaling.case import Case, Log
from benchmarks.scaling.events import HISTORY, events_of, key_row
from benchmarks.scaling.features import fill
from benchmarks.scaling.topology import write_topology
from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.engine.stores import open_models
from gress_ml.offline.run import OfflineRun
from gress_ml.record import FileRecord
from gress_ml.topology.load import load_topology

LOGS = [
    pytest.param(Log(40), 655, id="transfers"),
    *(pytest.param(Log(40, event_bytes=n), n, id=f"{n} bytes") for n in (300, 655, 2000, 10_000)),
]


@pytest.mark.parametrize(("log", "size"), LOGS)
def test_events_have_the_size_that_was_asked_for(log: Log, size: int) -> None:
    sizes = [len(value) for _, value in events_of(log)]
    assert len(sizes) == 40
    assert sum(sizes) / 40 == pytest.approx(size, rel=0.1)


def test_events_of_any_size_differ_only_in_what_no_step_reads() -> None:
    small, large = (
        [orjson.loads(value) for _, value in events_of(Log(5, event_bytes=size))]
        for size in (300, 10_000)
    )
    assert [{k: v for k, v in e.items() if not k.startswith("unread")} for e in large] == small


@pytest.mark.parametrize("keys", [1, 7, 1000])
def test_every_key_comes_before_any_comes_again(keys: int) -> None:
    seen = [key for key, _ in events_of(Log(2 * keys, keys=keys))]
    assert len(set(seen[:keys])) == keys
    assert seen[:keys] == seen[keys:]


def test_the_same_log_has_the_same_events() -> None:
    for log in (Log(20), Log(20, event_bytes=2000), Log(20, keys=5)):
        assert list(events_of(log)) == list(events_of(log))


async def test_what_is_looked_up_is_what_was_stored() -> None:
    store = MemoryFeatures(ManualClock())
    await fill(store, 2500)
    rows = await store.fetch(
        "transfer_history", HISTORY, ["\x1f".join(key_row(n)).encode() for n in (0, 2499, 2500)]
    )
    assert rows[:2].tolist() == [[3.0, 40.0, 200.0, 2.0]] * 2
    assert all(value != value for value in rows[2].tolist())


@pytest.mark.parametrize("log", [Log(30), Log(30, event_bytes=300), Log(30, keys=10)])
async def test_the_topology_decides_every_event(log: Log, tmp_path: Path) -> None:
    case = Case(1, log, batch=8, store="memory")
    topology = load_topology(write_topology(case, "case", "127.0.0.1:1", tmp_path), open_models)
    settings = topology.settings
    store = MemoryFeatures(ManualClock())
    await fill(store, log.keys or 0)
    run = OfflineRun(topology, open_models(settings.ml, settings.project), store)
    records = [FileRecord(at, value) for at, (_, value) in enumerate(events_of(log))]
    try:
        made = await run.run(topology.inputs["transfers"], records)
    finally:
        run.close()
    assert [dead for one in made for dead in one.dead] == []
    sent = [orjson.loads(sent.value) for one in made for sent in one.sent]
    assert len(sent) == 30
    assert {tuple(one["degraded"]) for one in sent} == {()}
