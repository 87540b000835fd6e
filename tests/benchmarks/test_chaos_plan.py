"""The table of storms, and when their blows fall."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest

from benchmarks.chaos.load import events
from benchmarks.chaos.plan import make_plan
from benchmarks.chaos.scenario import TAIL_S, Scenario
from benchmarks.chaos.scenarios import SCENARIOS, quick
from benchmarks.chaos.troubles.workers import KillWorker

EACH = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=str)


def test_the_table_has_a_hundred_blows_over_a_million_events() -> None:
    assert sum(scenario.blows for scenario in SCENARIOS.values()) >= 100
    assert sum(scenario.events for scenario in SCENARIOS.values()) >= 1_000_000


@EACH
def test_each_blow_heals_before_the_next_one_and_before_the_last_event(scenario: Scenario) -> None:
    plan = make_plan(scenario, 17)
    assert len(plan) == scenario.blows
    for before, after in pairwise(plan):
        assert before.at + before.trouble.lasts_s < after.at
    assert plan[-1].at + plan[-1].trouble.lasts_s <= scenario.seconds - TAIL_S


@EACH
def test_the_short_form_has_every_kind_of_blow_once(scenario: Scenario) -> None:
    kinds = {trouble for trouble, _ in scenario.troubles}
    assert sorted(map(repr, kinds)) == sorted(
        repr(s.trouble) for s in make_plan(quick(scenario), 1)
    )


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    scenario = SCENARIOS["mixed"]
    assert make_plan(scenario, 1) == make_plan(scenario, 1) != make_plan(scenario, 2)


def test_shares_of_events_are_bad_or_lack_their_history() -> None:
    scenario = Scenario(
        "shares", ((KillWorker(), 1),), events=1000, bad_share=0.01, without_history=0.25
    )
    bodies = [body for _, body in islice(events(scenario, 17), 1000)]
    assert sum(not body.endswith(b"}") for body in bodies) == 10
    assert sum(b"hde_delta_hit_rate" not in body for body in bodies) == 250
