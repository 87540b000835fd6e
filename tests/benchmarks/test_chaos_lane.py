"""The topologies as the lanes of a storm run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.lane import GUARANTEES, OUTCOMES, TRANSFERS, Guarantee, Lane
from benchmarks.chaos.subject import SELECTOR, WINDOWS, Subject
from gress_ml.engine.stores import open_models
from gress_ml.topology.load import load_topology


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("subject", [SELECTOR, WINDOWS], ids=lambda subject: subject.name)
def test_a_lane_is_a_sound_topology_that_shares_its_inputs_alone(
    subject: Subject, guarantee: Guarantee, tmp_path: Path
) -> None:
    lane, calm = Lane(subject, guarantee), Lane(subject, "at_least_once", undisturbed=True)
    topology = load_topology(lane.write_file(tmp_path, tmp_path / "checkpoints"), open_models)
    assert topology.name == lane.name != calm.name
    assert {node.topic for node in topology.inputs.values()} <= {TRANSFERS, OUTCOMES}
    written = {output.topic for output in topology.outputs}
    written |= {node.dead_letters for node in topology.inputs.values()}
    assert written == set(lane.topics)
    assert not written & set(calm.topics)


def test_no_decision_of_a_storm_is_made_by_the_clock(tmp_path: Path) -> None:
    lane = Lane(SELECTOR, "exactly_once")
    topology = load_topology(lane.write_file(tmp_path, tmp_path / "checkpoints"), open_models)
    built = [step.operator_class(step.config) for step in topology.steps]
    assert [operator.deadline_s for operator in built] == [None] * len(built)
