"""Models are loaded before the group forms: the first partition finds its plan ready."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.adapters.snapshots import MemorySnapshots
from gress_ml.engine.afterwards import Afterwards
from gress_ml.engine.calls import Calls
from gress_ml.engine.engine import Engine
from gress_ml.engine.outages import Outages
from gress_ml.engine.partition import Shell
from gress_ml.engine.prefetch import Prefetch
from gress_ml.engine.publishing import Publishing
from gress_ml.engine.together import Together
from gress_ml.registry import Registry
from gress_ml.topology.load import load_topology

ROOT = Path(__file__).parents[3]
NAME = "compression-selector"


class Outlets:
    """Opens outlets that send nothing."""

    async def open(self, partition: tuple[str, int]) -> Any:
        return self

    async def close(self) -> None:
        """Nothing to let go."""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "models")
    for version in ("1.0.0", "1.1.0"):
        files = tmp_path / version
        shutil.copytree(ROOT / "models" / NAME / "1.0.0", files)
        (files / "manifest.json").unlink()
        registry.push(files, NAME, version)
    registry.alias(NAME, "champion", "1.0.0")
    return registry


async def nobody(model: str, alias: str, version: str, time: str) -> None:
    raise AssertionError("no model is published")


@pytest.fixture
def engine(registry: Registry) -> Engine:
    clock, metrics = SystemClock(), PrometheusMetrics()
    calls = Calls(clock, metrics)
    shell = Shell(
        topology="t",
        clock=clock,
        together=Together(calls.run),
        prefetch=Prefetch(),
        most_rows=calls.most_rows,
        outlets=Outlets(),
        features=MemoryFeatures(clock),
        snapshots=MemorySnapshots(),
        metrics=metrics,
        afterwards=Afterwards(None, metrics, clock),  # type: ignore[arg-type] # nothing is late
        outages=Outages(metrics, clock.monotonic()),
        publishing=Publishing(None, nobody, metrics, clock),
    )
    topology = load_topology(ROOT / "topologies" / "compression_selector.yaml", registry)

    def failed(error: BaseException) -> None:
        raise error

    async def reopen(partition: tuple[str, int]) -> None:
        raise AssertionError(f"{partition} lost its outlet")

    return Engine(topology, registry, shell, failed, reopen)


async def opened(engine: Engine, *numbers: int) -> None:
    topic = engine.topology.inputs["transfers"].topic
    partitions = [(topic, number) for number in numbers]
    await engine.claim(partitions)
    for partition in partitions:
        assert await engine.assigned(partition, committed=7, beginning=0) == 7


def versions(engine: Engine) -> list[set[str]]:
    return [{use.version for use in runner.plan.uses} for runner in engine.runners]


async def test_a_prepared_engine_knows_its_models_before_it_has_a_partition(engine: Engine) -> None:
    await engine.prepare()
    assert engine.models.names == {NAME}
    engine.close()


async def test_the_first_partition_takes_what_was_prepared_and_others_build_their_own(
    engine: Engine,
) -> None:
    await engine.prepare()
    await opened(engine, 0, 1)
    first, second = (runner.plan for runner in engine.runners)
    assert first is not second
    assert versions(engine) == [{"1.0.0"}, {"1.0.0"}]
    await engine.revoked(engine.partitions)
    engine.close()


async def test_what_was_prepared_with_a_model_that_moved_meanwhile_is_not_used(
    engine: Engine, registry: Registry
) -> None:
    await engine.prepare()
    registry.alias(NAME, "champion", "1.1.0")
    engine.models.adopt(engine.models.moved(NAME))
    await opened(engine, 0)
    assert versions(engine) == [{"1.1.0"}]
    await engine.revoked(engine.partitions)
    engine.close()
