"""Verify: reads the topics with a plain consumer and counts, knowing nothing of the workers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from gress_ml.engine.stores import open_features, open_models
from gress_ml.offline.run import OfflineRun
from gress_ml.record import FileRecord
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

Place = tuple[int, int]  # partition and offset of an input record

#: Answers of the fallback: they depend on the clock and say so.
_BY_CLOCK = frozenset({"timeout", "overload"})


@dataclass(slots=True)
class Verdict:
    """What was found."""

    events: int = 0
    decided: int = 0
    dead_letters: int = 0
    lost: int = 0  # neither decided nor a dead letter
    twice: int = 0  # decisions beyond the first of their id
    dead_twice: int = 0
    bodies_differ: int = 0  # from another of the same id, or from an uninterrupted run
    by_clock: int = 0  # decided by the fallback because a deadline passed: not compared
    out_of_order: int = 0  # first appearances of a key that stand before an earlier one
    longest_stall_s: float = 0.0  # of one partition, while input was waiting
    longest_silence_s: float = 0.0  # of all partitions together, while input was waiting
    examples: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.bodies_differ or self.out_of_order)


@dataclass(slots=True)
class _First:
    """The first decision of an input record."""

    at_ms: int  # when the broker took it
    body: bytes


async def read_all(bootstrap: str, topic: str) -> Mapping[int, list[ConsumerRecord[bytes, bytes]]]:
    """Everything that is in a topic now, by partition, in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found = await consumer._client._wait_on_metadata(topic)
        partitions = [TopicPartition(topic, number) for number in sorted(found)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: dict[int, list[ConsumerRecord[bytes, bytes]]] = {
            tp.partition: [] for tp in partitions
        }
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, batch in (await consumer.getmany(timeout_ms=500)).items():
                records[tp.partition].extend(batch)
        return records
    finally:
        await consumer.stop()


async def verify(bootstrap: str, topology_file: Any, source: str, output: str) -> Verdict:
    """Judge one input and one output of a topology."""
    topology = load_topology(topology_file, open_models)
    node = topology.inputs[source]
    target = next(o.topic for o in topology.outputs if o.name == output)
    inputs, outputs, dead = await asyncio.gather(
        *(read_all(bootstrap, topic) for topic in (node.topic, target, node.dead_letters))
    )
    verdict = Verdict(events=sum(map(len, inputs.values())))
    firsts = _decisions(verdict, outputs)
    buried = _buried(verdict, dead)
    _lost(verdict, inputs, {*firsts, *buried})
    _stalls(verdict, inputs, {**firsts, **buried})
    await _compare(verdict, topology, source, inputs, firsts)
    return verdict


def _decisions(
    verdict: Verdict, outputs: Mapping[int, list[ConsumerRecord[bytes, bytes]]]
) -> dict[Place, _First]:
    firsts: dict[Place, _First] = {}
    newest: dict[bytes, Place] = {}
    for records in outputs.values():
        for record in records:
            body = orjson.loads(record.value)
            place = _place(body["decision_id"])
            first = firsts.get(place)
            if first is not None:
                verdict.twice += 1
                _same(verdict, first.body, record.value)
                continue
            firsts[place] = _First(record.timestamp, record.value)
            if newest.get(record.key, place) > place:
                verdict.out_of_order += 1
                verdict.examples.append(f"{record.key!r}: {place} after {newest[record.key]}")
            newest[record.key] = max(place, newest.get(record.key, place))
    verdict.decided = len(firsts)
    return firsts


def _same(verdict: Verdict, one: bytes, other: bytes) -> None:
    """Count two bodies of the same id that are not the same, unless the clock decided one."""
    if one == other:
        return
    if any(orjson.loads(body)["reason"] in _BY_CLOCK for body in (one, other)):
        return
    verdict.bodies_differ += 1
    verdict.examples.append(f"{one.decode()} is not {other.decode()}")


def _buried(
    verdict: Verdict, dead: Mapping[int, list[ConsumerRecord[bytes, bytes]]]
) -> dict[Place, _First]:
    firsts: dict[Place, _First] = {}
    for record in (record for records in dead.values() for record in records):
        place = _place(dict(record.headers)["gress-source"].decode())
        if place in firsts:
            verdict.dead_twice += 1
        firsts.setdefault(place, _First(record.timestamp, b""))
    verdict.dead_letters = len(firsts)
    return firsts


def _place(source: str) -> Place:
    _, partition, offset = source.rsplit("-", 2)
    return int(partition), int(offset)


def _lost(
    verdict: Verdict,
    inputs: Mapping[int, list[ConsumerRecord[bytes, bytes]]],
    answered: Iterable[Place],
) -> None:
    known = set(answered)
    lost = [
        (record.partition, record.offset)
        for records in inputs.values()
        for record in records
        if (record.partition, record.offset) not in known
    ]
    verdict.lost = len(lost)
    verdict.examples.extend(f"lost: {place}" for place in lost[:5])


def _stalls(
    verdict: Verdict,
    inputs: Mapping[int, list[ConsumerRecord[bytes, bytes]]],
    firsts: Mapping[Place, _First],
) -> None:
    """The longest gaps between answers while an input record waited. Times are the broker's."""
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for partition, records in inputs.items():
        for record in records:
            first = firsts.get((partition, record.offset))
            if first is not None:
                spans[partition].append((first.at_ms, record.timestamp))
    verdict.longest_stall_s = max(map(longest_gap_s, spans.values()), default=0.0)
    verdict.longest_silence_s = longest_gap_s([span for part in spans.values() for span in part])


def longest_gap_s(spans: list[tuple[int, int]]) -> float:
    """The longest time without an answer while something waited; spans are (answered, asked)."""
    ordered = sorted(spans)
    waiting_since = [asked for _, asked in ordered]
    for index in range(len(waiting_since) - 2, -1, -1):
        waiting_since[index] = min(waiting_since[index], waiting_since[index + 1])
    gaps = [
        ordered[i + 1][0] - max(ordered[i][0], waiting_since[i + 1])
        for i in range(len(ordered) - 1)
    ]
    return max(gaps, default=0) / 1000


async def _compare(
    verdict: Verdict,
    topology: Topology,
    source: str,
    inputs: Mapping[int, list[ConsumerRecord[bytes, bytes]]],
    firsts: Mapping[Place, _First],
) -> None:
    """Decide everything again, without interruption, and compare byte for byte."""
    settings = topology.settings
    node = topology.inputs[source]
    for partition, records in inputs.items():
        run = OfflineRun(
            topology,
            open_models(settings.ml, settings.project),
            open_features(settings.ml.feature_store),
        )
        again = await run.run(
            node,
            [FileRecord(r.offset, r.value, r.key, r.timestamp, r.headers) for r in records],
        )
        run.close()
        theirs = f'"decision_id":"{node.topic}-0-'.encode()
        ours = f'"decision_id":"{node.topic}-{partition}-'.encode()
        for sent in (sent for made in again for sent in made.sent):
            expected = sent.value.replace(theirs, ours, 1)
            first = firsts.get(_place(orjson.loads(expected)["decision_id"]))
            if first is not None:
                verdict.by_clock += orjson.loads(first.body)["reason"] in _BY_CLOCK
                _same(verdict, first.body, expected)
