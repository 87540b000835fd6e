"""A step is opened anew in the place of a running one only when it fits there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gress_ml.bundle import ModelUse
from gress_ml.engine.models import CurrentModels, Moved, uses_any
from gress_ml.engine.planning import build_plan, reopened
from gress_ml.errors import ModelNotFound, SchemaError
from gress_ml.registry import Registry
from gress_ml.runtime.plan import Plan, Step
from gress_ml.topology.load import load_topology

ROOT = Path(__file__).parents[3]
FLAGSHIP = ROOT / "topologies" / "compression_selector.yaml"
NAME = "compression-selector"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """The flagship's model in versions: the same, with another feature, with one not decoded."""
    registry = Registry(tmp_path / "models")
    for version, source in (("1.0.0", "rtt_ms"), ("1.1.0", "rtt_ms"), ("2.0.0", "bandwidth_mbps")):
        files = tmp_path / f"files-{version}"
        shutil.copytree(ROOT / "models" / NAME / "1.0.0", files)
        (files / "manifest.json").unlink()
        if source != "rtt_ms":
            path = files / "feature_schema.json"
            schema = json.loads(path.read_text())
            schema["features"][0]["default"] = 7.5
            path.write_text(json.dumps(schema))
        registry.push(files, NAME, version)
    registry.alias(NAME, "champion", "1.0.0")
    return registry


class Running:
    """A plan that runs, and what it would become."""

    def __init__(self, registry: Registry, file: Path = FLAGSHIP) -> None:
        self.registry = registry
        self.topology = load_topology(file, registry)
        self.source = self.topology.inputs["transfers"]
        self.models = CurrentModels(registry)
        self.plan: Plan = build_plan(self.topology, self.source, self.models)

    def moved(self, version: str) -> Mapping[tuple[str, str], Any]:
        self.registry.alias(NAME, "champion", version)
        return self.models.moved(NAME)

    def reopened(self, version: str, steps: Sequence[Step] | None = None) -> list[Step]:
        moved = self.moved(version)
        return reopened(
            self.topology,
            self.source,
            self.plan.steps if steps is None else steps,
            Moved(self.models, moved),
            lambda uses: uses_any(uses, moved),
        )


@pytest.fixture
def running(registry: Registry) -> Running:
    return Running(registry)


def test_a_plan_knows_which_models_its_steps_use(running: Running) -> None:
    assert running.plan.uses == (ModelUse(NAME, "champion", "1.0.0"),)
    assert [len(step.uses) for step in running.plan.steps] == [1, 1]


def test_all_steps_that_use_a_model_are_opened_anew(running: Running) -> None:
    steps = running.reopened("1.1.0")
    assert [step.name for step in steps] == [step.name for step in running.plan.steps]
    assert {use.version for step in steps for use in step.uses} == {"1.1.0"}
    running.plan.replace({step.name: step for step in steps})
    assert running.plan.uses == (ModelUse(NAME, "champion", "1.1.0"),)


def test_other_features_fit_when_all_steps_agree_on_them(running: Running) -> None:
    assert {use.version for step in running.reopened("2.0.0") for use in step.uses} == {"2.0.0"}


def test_other_features_do_not_fit_when_a_step_keeps_the_old_ones(running: Running) -> None:
    features, select = running.plan.steps
    pinned = Step(features.name, features.operator, features.source)  # uses no model that moves
    with pytest.raises(SchemaError, match="another feature schema"):
        running.reopened("2.0.0", [pinned, select])


LEARNING = f"""\
name: learner
inputs:
  transfers: {{topic: transfers, schema: dwcp.transfer}}
steps:
  - name: features
    operator: feature_extraction
    config:
      model: {NAME}
      lookup:
        table: transfer_history
        key: [vm_id]
        fields:
          - hde_compression_ratio
          - hde_delta_hit_rate
          - amst_transfer_rate_mbps
          - baseline_compression_ratio
  - name: learn
    operator: online_learning
    config: {{model: rtt, learner: linear_model.LinearRegression, target_field: rtt_ms}}
outputs:
  told: {{topic: told, fields: [request_id, prediction]}}
"""


def test_a_learner_keeps_the_features_that_it_has_learned(
    registry: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "learner.yaml"
    file.write_text(LEARNING)
    running = Running(registry, file)
    assert [step.name for step in running.reopened("1.1.0")] == ["features"]
    with pytest.raises(SchemaError, match="the learner was made for the features"):
        running.reopened("2.0.0")
    running.plan.close()


def test_what_a_reference_means_stays_until_it_is_adopted(running: Running) -> None:
    moved = running.moved("1.1.0")
    assert running.models.find(NAME).version == "1.0.0"
    running.models.adopt(moved)
    assert running.models.find(NAME).version == "1.1.0"
    assert running.models.moved(NAME) == {}


def test_a_reference_in_use_is_known_while_the_store_says_nothing(
    running: Running, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "models")
    assert running.models.find(NAME).version == "1.0.0"
    with pytest.raises(ModelNotFound):
        running.models.moved(NAME)


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Step], list[str]]:
    """Notes when a step's operator is closed."""
    closed: list[str] = []

    def watch(step: Step) -> list[str]:
        monkeypatch.setattr(step.operator, "close", lambda: closed.append(step.name))
        return closed

    return watch


def test_the_old_steps_are_closed_when_the_new_ones_are_in(
    running: Running, closing: Callable[[Step], list[str]]
) -> None:
    for step in running.plan.steps:
        closed = closing(step)
    steps = running.reopened("1.1.0")
    assert closed == []
    running.plan.replace({step.name: step for step in steps})
    assert closed == [step.name for step in steps]
