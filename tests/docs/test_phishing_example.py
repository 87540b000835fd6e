"""The example that learns: over the pages that come with river it becomes good at it."""

from __future__ import annotations

import runpy
from pathlib import Path

import orjson
from documents import EXAMPLES

from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.engine.stores import open_models
from gress_ml.offline.run import OfflineRun
from gress_ml.record import FileRecord
from gress_ml.topology.load import load_topology


async def test_the_phishing_example_learns_to_tell(tmp_path: Path) -> None:
    topology = load_topology(EXAMPLES / "phishing.yaml", open_models)
    models = open_models(topology.settings.ml, tmp_path)
    run = OfflineRun(topology, models, MemoryFeatures(ManualClock()))
    pages = [*runpy.run_path(str(EXAMPLES / "phishing_events.py"))["events"]()]
    records = [FileRecord(n, orjson.dumps(page), timestamp=n) for n, page in enumerate(pages)]
    made = await run.run(topology.inputs["pages"], records)
    run.close()
    messages = [one for batch in made for one in batch.sent if one.topic == "web.verdicts"]
    sent = [orjson.loads(one.value) for one in messages]
    assert len(sent) == len(pages) == 1250
    known = [
        (row["prediction"], str(page["is_phishing"]).lower())
        for row, page in zip(sent, pages, strict=True)
        if page["is_phishing"] is not None
    ][250:]
    assert sum(told == found for told, found in known) / len(known) > 0.85
