"""The example that finds stolen cards, on a month of payments that its model has not seen."""

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


async def test_most_frauds_raise_an_alert_and_hardly_any_other_payment_does(tmp_path: Path) -> None:
    topology = load_topology(EXAMPLES / "fraud.yaml", open_models)
    models = open_models(topology.settings.ml, topology.settings.project)
    run = OfflineRun(topology, models, MemoryFeatures(ManualClock()))
    generator = runpy.run_path(str(EXAMPLES / "fraud_events.py"))
    figures = runpy.run_path(str(EXAMPLES / "fraud_figures.py"))
    payments = [*generator["events"](seed=99)]
    records = [
        FileRecord(number, orjson.dumps(payment), payment["card"].encode(), payment["at"])
        for number, payment in enumerate(payments)
    ]
    made = await run.run(topology.inputs["payments"], records)
    run.close()
    sent = {
        topic: [orjson.loads(one.value) for each in made for one in each.sent if one.topic == topic]
        for topic in ("shop.scores", "shop.alerts")
    }
    assert len(sent["shop.scores"]) == len(payments)
    alarms = figures["alarmed"](sent["shop.scores"])
    assert alarms == {alert["payment"] for alert in sent["shop.alerts"]}
    recall, precision = figures["recall_and_precision"](payments, alarms)
    assert recall > 0.45
    assert precision > 0.95


def test_the_same_seed_makes_the_same_payments_and_another_one_others() -> None:
    events = runpy.run_path(str(EXAMPLES / "fraud_events.py"))["events"]
    first, again, other = ([*events(seed)] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert [*first] == sorted(first, key=lambda payment: (payment["at"], payment["card"]))
