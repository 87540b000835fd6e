"""The contenders of the benchmark decide the same events alike, or their figures mean nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from benchmarks import stock_faust
from benchmarks.decide import Decide
from benchmarks.one_decision import Decider
from benchmarks.same_decisions import Agreement, compare
from benchmarks.topics import TRANSFERS
from benchmarks.transfers import make_templates, request_number

EVENTS = 200


@pytest.fixture(scope="module")
def bodies() -> list[bytes]:
    return [one.body(number) for number, one in enumerate(make_templates(EVENTS))]


@pytest.fixture(scope="module")
def by_hand(bodies: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(body) for body in Decide()(TRANSFERS, 0, range(EVENTS), bodies)]


def test_events_have_the_size_that_the_documentation_names(bodies: list[bytes]) -> None:
    assert 600 < sum(map(len, bodies)) / len(bodies) < 700


def test_events_are_the_same_in_every_run() -> None:
    assert make_templates(20) == make_templates(20)


def test_a_decision_names_the_event_that_it_answers(bodies: list[bytes]) -> None:
    decisions = Decide()(TRANSFERS, 0, range(EVENTS), bodies)
    assert [*map(request_number, decisions)] == [*range(EVENTS)]


def test_the_topology_decides_as_the_loop_by_hand(
    bodies: list[bytes], by_hand: list[dict[str, Any]]
) -> None:
    async def decide_all() -> list[dict[str, Any]]:
        decider = Decider()
        return [await decider.decide(orjson.loads(body)) for body in bodies]

    found = asyncio.run(decide_all())
    ids = [decision["decision_id"] for decision in by_hand]
    agreement = compare(dict(zip(ids, found, strict=True)), dict(zip(ids, by_hand, strict=True)))
    assert agreement.different == 0
    assert agreement.compared > 0


def test_stock_faust_decides_as_the_loop_by_hand(
    bodies: list[bytes], by_hand: list[dict[str, Any]]
) -> None:
    found = [
        stock_faust.decide(orjson.loads(body), f"{TRANSFERS}-0-{offset}")
        for offset, body in enumerate(bodies)
    ]
    assert found == by_hand


def test_what_the_clock_decided_is_counted_apart() -> None:
    model = {"algorithm": "hde", "reason": "model"}
    late = {"algorithm": "amst", "reason": "timeout"}
    other = {"algorithm": "none", "reason": "model"}
    one = {"a": model, "b": model, "c": model, "only": model}
    assert compare(one, {"a": model, "b": late, "c": other}) == Agreement(2, 1, 1)
