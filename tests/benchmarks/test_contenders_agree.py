"""The contenders of the benchmark decide the same events alike, or their figures mean nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from benchmarks.decide import Decide
from benchmarks.decide_one import DecideOne
from benchmarks.decode import plain, typed
from benchmarks.one_decision import Decider
from benchmarks.peers.names import decision_id, decision_ids
from benchmarks.same_decisions import Agreement, compare
from benchmarks.transfers import make_templates, request_number

EVENTS = 200
IDS = decision_ids(0, range(EVENTS))


@pytest.fixture(scope="module")
def bodies() -> list[bytes]:
    return [one.body(number) for number, one in enumerate(make_templates(EVENTS))]


@pytest.fixture(scope="module")
def by_hand(bodies: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(body) for body in Decide(typed)(IDS, bodies)]


def test_events_have_the_size_that_the_documentation_names(bodies: list[bytes]) -> None:
    assert 600 < sum(map(len, bodies)) / len(bodies) < 700


def test_events_are_the_same_in_every_run() -> None:
    assert make_templates(20) == make_templates(20)


def test_a_decision_names_the_event_that_it_answers(bodies: list[bytes]) -> None:
    decisions = Decide()(IDS, bodies)
    assert [*map(request_number, decisions)] == [*range(EVENTS)]
    assert [orjson.loads(one)["decision_id"] for one in decisions] == IDS
    assert IDS[7] == decision_id(0, 7)


def test_the_topology_decides_as_the_loop_by_hand(
    bodies: list[bytes], by_hand: list[dict[str, Any]]
) -> None:
    async def decide_all() -> list[dict[str, Any]]:
        decider = Decider()
        return [await decider.decide(orjson.loads(body)) for body in bodies]

    found = asyncio.run(decide_all())
    agreement = compare(dict(zip(IDS, found, strict=True)), dict(zip(IDS, by_hand, strict=True)))
    assert agreement.different == 0
    assert agreement.compared > 0


def test_events_one_by_one_are_decided_as_in_batches(
    bodies: list[bytes], by_hand: list[dict[str, Any]]
) -> None:
    decide = DecideOne()
    found = [decide(orjson.loads(body), name) for name, body in zip(IDS, bodies, strict=True)]
    assert found == by_hand


def test_decoding_without_a_schema_decides_the_same(
    bodies: list[bytes], by_hand: list[dict[str, Any]]
) -> None:
    assert [*map(orjson.loads, Decide(plain)(IDS, bodies))] == by_hand


@pytest.mark.parametrize("decode", [typed, plain])
def test_fields_that_lack_have_the_same_defaults(decode: Any, bodies: list[bytes]) -> None:
    needed = (
        "request_id",
        "vm_id",
        "timestamp",
        "link_type",
        "bandwidth_available_mbps",
        "rtt_ms",
        "payload_size",
    )
    event = {name: value for name, value in orjson.loads(bodies[0]).items() if name in needed}
    (found,) = Decide(decode)(IDS[:1], [orjson.dumps(event)])
    assert orjson.loads(found) == DecideOne()(event, IDS[0])


def test_what_the_clock_decided_is_counted_apart() -> None:
    model = {"algorithm": "hde", "reason": "model"}
    late = {"algorithm": "amst", "reason": "timeout"}
    other = {"algorithm": "none", "reason": "model"}
    one = {"a": model, "b": model, "c": model, "only": model}
    assert compare(one, {"a": model, "b": late, "c": other}) == Agreement(2, 1, 1)
