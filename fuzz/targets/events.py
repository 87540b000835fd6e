"""Events: odd records among good ones, through decoder and plan of the flagship."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from fuzz import bytes_mutation, json_mutation
from fuzz.target import Target, require
from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.dwcp.events import DECISION
from gress_ml.engine.driving import Answers, drive
from gress_ml.engine.planning import build_plan
from gress_ml.engine.stores import open_models
from gress_ml.operator import Lookup, Output
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.plan import Call, Result
from gress_ml.topology.load import load_topology

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "compression_selector.yaml"
_LIMIT = 20

TRANSFER: dict[str, Any] = {
    "request_id": "r-1",
    "vm_id": "vm-17",
    "timestamp": "2026-11-21T00:00:00.123Z",
    "link_type": "wan",
    "region": "us-east-1",
    "network_tier": 3,
    "bandwidth_available_mbps": 40.0,
    "bandwidth_utilization": 35.0,
    "rtt_ms": 62.1,
    "jitter_ms": 4.0,
    "packet_loss": 0.001,
    "payload_size": 1048576,
    "payload_type": "vm_memory",
    "entropy_estimate": 5.1,
    "repetition_score": 40.0,
    "compressibility_score": 0.6,
    "has_baseline": True,
    "cpu_usage": 35.0,
    "memory_available_mb": 8123,
    "hde_compression_ratio": 14.0,
    "hde_delta_hit_rate": 90.0,
    "amst_transfer_rate_mbps": 30.0,
    "baseline_compression_ratio": 2.5,
}
OUTCOME: dict[str, Any] = {
    "request_id": "r-1",
    "vm_id": "vm-17",
    "timestamp": 1_795_219_200_000,
    "actual_algorithm": "hde",
    "payload_type": "vm_memory",
    "link_type": "wan",
    "payload_size": 1048576,
    "bytes_sent": 262144,
    "transfer_ms": 301.7,
    "delta_hit_rate": 71.0,
    "baseline_ratio": 2.5,
    "error": None,
    "arms": {
        "hde": {"bytes_sent": 262144, "transfer_ms": 301.7, "delta_hit_rate": 71.0},
        "amst": {"bytes_sent": 500000, "transfer_ms": 120.5},
        "none": {"bytes_sent": 1048576, "transfer_ms": 200.0},
    },
}


@dataclass(frozen=True, slots=True)
class _Effects:
    """What a batch of records made, by record."""

    sent: dict[int, list[tuple[str, bytes | None, bytes]]]
    dead: dict[int, str]
    stored: dict[tuple[str, bytes], list[Any]]
    state: dict[str, tuple[int, bytes]]


class _Events(Target):
    """One input is one event per line; good events stand before, between and after them."""

    source: ClassVar[str]
    good: ClassVar[dict[str, Any]]

    def __init__(self) -> None:
        topology = load_topology(TOPOLOGY, open_models)
        models = open_models(topology.settings.ml, topology.settings.project)
        self._topic = topology.inputs[self.source].topic
        self.plan = build_plan(topology, topology.inputs[self.source], models)
        self._fresh = self.plan.snapshot()
        self._features = MemoryFeatures(ManualClock())
        self._runner = asyncio.Runner()
        self._decision = Decoder(DECISION)
        self._good = [
            json.dumps({**self.good, "request_id": f"good-{i}", "vm_id": f"vm-{i}"}).encode()
            for i in range(4)
        ]

    def __exit__(self, *error: object) -> None:
        self.plan.close()
        self._runner.close()

    def seeds(self) -> Sequence[bytes]:
        whole = json_mutation.dumped(self.good)
        optional = {k: v for k, v in self.good.items() if not isinstance(v, (float, dict))}
        return [whole, json_mutation.dumped(optional), b"\n".join([whole] * 3)]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        lines = [self._line(random, pool) for _ in range(random.choice((1, 1, 2, 4)))]
        return b"\n".join(lines)

    def _line(self, random: Random, pool: Sequence[bytes]) -> bytes:
        if random.random() < 0.5:
            value = json_mutation.mutated(self.good, random, [*self.good])
            line = json_mutation.dumped(value, random)
            return line if random.random() < 0.8 else bytes_mutation.mutated(line, random)
        return bytes_mutation.mutated(random.choice(pool), random, pool)

    def check(self, data: bytes) -> str:
        odd = data.split(b"\n")[:_LIMIT]
        records, good = _mixed(self._good, odd)
        found = self._run(records)
        _require_once(found, records, good, routed=bool(self.plan.routes))
        alive = [record for record in records if record.offset not in found.dead]
        without = self._run(alive)
        law = "the others are decided byte for byte as if the bad ones had not been there"
        require(without.sent == found.sent and not without.dead, law)
        require(without.stored == found.stored, f"{law} (feature rows)")
        require(without.state == found.state, f"{law} (state)")
        messages = [value for sent in found.sent.values() for _, _, value in sent]
        self._require_decisions(messages)
        return "; ".join(sorted({found.dead.get(r.offset, "decided") for r in records} - {""}))

    def _run(self, records: Sequence[FileRecord]) -> _Effects:
        self.plan.restore(self._fresh)
        flow = self.plan.run(self._topic, 0, records)
        result = self._runner.run(drive(flow, _call, self._fetch))
        sent: dict[int, list[tuple[str, bytes | None, bytes]]] = {}
        for produced in result.produced:
            messages = zip(produced.records, produced.keys, produced.values, strict=True)
            for position, key, value in messages:
                offset = records[position].offset
                sent.setdefault(offset, []).append((produced.topic, key, value))
        return _Effects(sent, _dead(result, records), _stored(result), self.plan.snapshot())

    async def _fetch(self, lookups: Sequence[Lookup]) -> Answers:
        return [await self._features.fetch(each.table, each.fields, each.keys) for each in lookups]

    def _require_decisions(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            json.loads(message.decode(), parse_constant=_not_json)
        records = [FileRecord(i, message) for i, message in enumerate(messages)]
        batch, rejected = self._decision.decode("decisions", 0, records)
        require(not rejected, f"a decision is as its contract says: {rejected}")
        require(len(batch) == len(messages), "a decision is as its contract says")


class Transfers(_Events):
    """The flagship's main input."""

    name: ClassVar[str] = "transfers"
    law: ClassVar[str] = "A bad transfer is one dead letter, and its neighbours do not notice."
    source: ClassVar[str] = "transfers"
    good: ClassVar[dict[str, Any]] = TRANSFER


class Outcomes(_Events):
    """The flagship's second input, which teaches state and writes feature rows."""

    name: ClassVar[str] = "outcomes"
    law: ClassVar[str] = "A bad outcome is one dead letter, and teaches nothing."
    source: ClassVar[str] = "outcomes"
    good: ClassVar[dict[str, Any]] = OUTCOME


def _mixed(good: Sequence[bytes], odd: Sequence[bytes]) -> tuple[list[FileRecord], set[int]]:
    """The odd ones with a good one before each and the rest after; the offsets of the good."""
    values: list[tuple[bytes | None, bool]] = []
    for i in range(max(len(good), len(odd) + 1)):
        if i < len(good):
            values.append((good[i], True))
        if i < len(odd):
            values.append((odd[i], False))
    records = [FileRecord(7 + 2 * i, value, b"key") for i, (value, _) in enumerate(values)]
    return records, {7 + 2 * i for i, (_, is_good) in enumerate(values) if is_good}


def _require_once(
    found: _Effects, records: Sequence[FileRecord], good: set[int], *, routed: bool
) -> None:
    require(not good & found.dead.keys(), f"good events are no dead letters: {found.dead}")
    require(not found.sent.keys() & found.dead.keys(), "no row is both decision and dead letter")
    if routed:
        offsets = {record.offset for record in records}
        require(found.sent.keys() | found.dead.keys() == offsets, "no row is lost")
    require(all(len(sent) == 1 for sent in found.sent.values()), "a row is decided once")


def _dead(result: Result, records: Sequence[FileRecord]) -> dict[int, str]:
    dead: dict[int, str] = {}
    for letter in result.dead:
        offset = records[letter.record].offset
        require(offset not in dead, "a row is one dead letter")
        letter.message.encode()  # it travels as a header
        dead[offset] = f"{letter.code}: {letter.message}"
    return dead


def _stored(result: Result) -> dict[tuple[str, bytes], list[Any]]:
    """What the feature store holds afterwards; NaN as None, so that rows can be compared."""
    rows: dict[tuple[str, bytes], list[Any]] = {}
    for write in result.writes:
        for key, row in zip(write.keys, write.rows.tolist(), strict=True):
            rows[write.table, key] = [None if value != value else value for value in row]
    return rows


def _call(wish: Call) -> Output:
    return wish.step.operator.process(wish.batch)


def _not_json(name: str) -> None:
    require(False, f"{name} is not JSON")
