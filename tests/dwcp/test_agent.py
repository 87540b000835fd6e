from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from gress_ml.dwcp.agent import Agent, Folder, MemoryWire, Result, Settings
from gress_ml.dwcp.agent.moving import is_dual_run
from gress_ml.dwcp.events import OUTCOME, TRANSFER
from gress_ml.dwcp.transfers import Message
from gress_ml.errors import BrokerUnavailable
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_bytes(b"some text, again and again. " * 4000)
    (tmp_path / "deep" / "b.so").write_bytes(rng.bytes(150_000))
    (tmp_path / "c.mem").write_bytes(bytes(70_000))
    (tmp_path / "empty.txt").write_bytes(b"")
    return tmp_path


def decide(algorithm: str, streams: int = 1, **fields: Any) -> Any:
    def answer(transfer: Message) -> Message:
        return {
            "request_id": transfer["request_id"],
            "vm_id": transfer["vm_id"],
            "algorithm": algorithm,
            "streams": streams,
            "reason": "model",
            **fields,
        }

    return answer


async def moved(
    folder: Path, wire: MemoryWire, *, changed: float = 0.0, **settings: Any
) -> tuple[Agent, list[Result]]:
    results: list[Result] = []
    source = Folder(folder, 64 << 10, changed)
    agent = Agent(source, wire, Settings(**settings), results.append, "s-test")
    await agent.run()
    return agent, results


async def test_every_file_is_moved_by_its_decision(folder: Path) -> None:
    wire = MemoryWire(decide("amst", 3))
    agent, results = await moved(folder, wire)
    assert agent.counts.offered == len(results) == 2 + 3 + 2
    assert agent.counts.payload_bytes == 112_000 + 150_000 + 70_000
    assert {r.outcome["actual_algorithm"] for r in results} == {"amst"}
    assert {r.outcome["streams"] for r in results} == {3}
    assert {r.reason for r in results} == {"model"}
    assert agent.counts.late == agent.counts.failed == 0


@pytest.mark.parametrize(("name", "schema"), [("transfers", TRANSFER), ("outcomes", OUTCOME)])
async def test_our_own_messages_pass_our_own_decoder(folder: Path, name: str, schema: Any) -> None:
    wire = MemoryWire(decide("hde"))
    await moved(folder, wire, dual_run_share=0.5)
    messages = [orjson.dumps(message) for message in getattr(wire, name)]
    records = [FileRecord(at, value) for at, value in enumerate(messages)]
    batch, rejected = Decoder(schema).decode("t", 0, records)
    assert len(batch) == 7
    assert not rejected


async def test_without_a_decision_in_time_the_rules_decide_and_it_is_counted(folder: Path) -> None:
    agent, results = await moved(folder, MemoryWire(lambda transfer: None), timeout_s=0.01)
    assert agent.counts.late == 7
    assert {r.reason for r in results} == {"decision_late"}
    assert all(r.outcome["actual_algorithm"] == r.rules_choice for r in results)
    assert all(r.rules_total_ms == r.total_ms for r in results)


@pytest.mark.parametrize(
    "wrong", [{"algorithm": "zip"}, {"algorithm": None}, {"streams": 0}, {"streams": "4"}]
)
async def test_a_decision_that_makes_no_sense_is_not_followed(
    folder: Path, wrong: dict[str, Any]
) -> None:
    _, results = await moved(folder, MemoryWire(decide(**{"algorithm": "amst", **wrong})))
    assert {r.reason for r in results} == {"decision_unusable"}


async def test_the_second_version_is_a_delta_to_the_first(folder: Path) -> None:
    _, results = await moved(folder, MemoryWire(decide("hde")), changed=0.1, passes=2, vms=1)
    first, second = results[:7], results[7:]
    assert not any(r.transfer["has_baseline"] for r in first)
    assert all(r.transfer["has_baseline"] for r in second)
    noise = [r for r in second if r.transfer["entropy_estimate"] > 7.9]
    assert noise
    assert all(r.outcome["delta_hit_rate"] > 50 for r in noise)
    assert all(r.outcome["bytes_sent"] < r.transfer["payload_size"] / 2 for r in noise)


async def test_only_a_changed_file_is_offered_again(folder: Path) -> None:
    source = Folder(folder, 64 << 10)
    for offer in source.one_pass():
        offer.arrived()
    assert list(source.one_pass()) == []
    (folder / "c.mem").write_bytes(b"x" + bytes(69_999))
    (again,) = source.one_pass()
    assert again.payload.baseline == bytes(64 << 10)
    assert again.payload.data[:1] == b"x"


async def test_all_profiles_are_run_on_the_dual_run_share(folder: Path) -> None:
    _, results = await moved(folder, MemoryWire(decide("none")), dual_run_share=1.0)
    for result in results:
        assert set(result.outcome["arms"]) == {"hde", "amst", "none"}
        assert result.best_total_ms is not None
        assert result.rules_total_ms is not None
        assert result.outcome["baseline_ratio"] > 0
        used = result.outcome["arms"]["none"]
        assert used["total_ms"] == result.outcome["actual_latency_ms"]


async def test_no_more_than_the_allowed_transfers_are_outstanding(folder: Path) -> None:
    class Slow(MemoryWire):
        """Its first transfer is on its way until there is a second one."""

        now = most = 0
        second = asyncio.Event()

        async def offer(self, transfer: Message) -> None:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == 2:
                self.second.set()
            await self.second.wait()
            await super().offer(transfer)

        async def report(self, outcome: Message) -> None:
            self.now -= 1

    wire = Slow(decide("none"))
    async with asyncio.timeout(60):
        await moved(folder, wire, outstanding=2)
    assert wire.most == 2


async def test_stop_ends_an_endless_run_and_finishes_what_is_on_its_way(folder: Path) -> None:
    wire = MemoryWire(decide("none"))
    results: list[Result] = []

    def enough(result: Result) -> None:
        results.append(result)
        if len(results) == 10:
            agent.stop()

    settings = Settings(passes=None, outstanding=3)
    agent = Agent(Folder(folder, 64 << 10, 0.5), wire, settings, enough)
    async with asyncio.timeout(120):
        counts = await agent.run()
    assert counts.offered == len(results) <= 13
    assert len(wire.transfers) == len(wire.outcomes) == counts.offered


async def test_a_rate_is_not_passed(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await moved(folder, MemoryWire(decide("none")), rate=50.0)
    assert loop.time() - before >= 6 / 50


async def test_a_broker_that_goes_away_ends_the_run_with_its_error(folder: Path) -> None:
    class Broken(MemoryWire):
        async def offer(self, transfer: Message) -> None:
            raise BrokerUnavailable("gone")

    with pytest.raises(BrokerUnavailable, match="gone"):
        await moved(folder, Broken(decide("none")))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"outstanding": 0}, "outstanding"),
        ({"rate": 0}, "rate"),
        ({"dual_run_share": 2}, "dual_run_share"),
        ({"links": ("moon",)}, "moon"),
        ({"vms": 0}, "VM"),
    ],
)
def test_wrong_settings_are_named(folder: Path, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Agent(Folder(folder), MemoryWire(decide("none")), Settings(**settings))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a folder"):
        Folder(tmp_path / "nowhere")


def test_the_dual_run_share_is_met_and_repeatable() -> None:
    names = [f"r-{i}" for i in range(20_000)]
    chosen = [name for name in names if is_dual_run(name, 0.05)]
    assert 0.045 < len(chosen) / len(names) < 0.055
    assert all(is_dual_run(name, 0.05) for name in chosen)
    assert not any(is_dual_run(name, 0.0) for name in names[:100])
    assert all(is_dual_run(name, 1.0) for name in names[:100])
