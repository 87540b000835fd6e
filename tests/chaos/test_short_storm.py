"""A short storm on real servers. It judges what was written, never how long it took."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.chaos.lane import GUARANTEES
from benchmarks.chaos.scenarios import SHORT
from benchmarks.chaos.storm import Storm

SEED = 17


@pytest.mark.servers
def test_a_storm_loses_nothing_keeps_order_and_state_and_crashes_no_worker(tmp_path: Path) -> None:
    outcomes = Storm(SHORT, GUARANTEES, SEED, tmp_path, Console()).run()
    assert [outcome.lane.subject for outcome in outcomes] == [
        subject for subject in SHORT.subjects for _ in GUARANTEES
    ]
    for outcome in outcomes:
        verdict = outcome.verdict
        assert (verdict.lost, verdict.different, verdict.out_of_order) == (0, 0, 0), (
            verdict.examples
        )
        assert list(outcome.crashes) == []
        assert verdict.answers == outcome.events >= SHORT.events
        assert verdict.dead_letters == int(outcome.events * SHORT.bad_share)
        if outcome.lane.once:
            assert verdict.twice == 0, verdict.examples
