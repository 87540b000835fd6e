"""docs/own-project.md, followed to the letter: a project outside of this repository."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from documents import DOCS, blocks

from gress_ml.dev.topics import TopicSettings, create_topics

_PAGE = [*blocks((DOCS / "own-project.md").read_text(encoding="utf-8"))]
_PATIENCE_S = 120.0
_OLD = "        temperature: {target: 80.0, tolerance: 4.0}\n"


def commands(info: str) -> list[str]:
    """The shell blocks of the page that are marked so, in order."""
    return [block.text for block in _PAGE if block.info == info]


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )


def environment(**more: str) -> dict[str, str]:
    """With the commands of this environment in front."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **more}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("own")
    made = run(commands("sh")[0], home)
    assert made.returncode == 0, made.stderr
    return home / "plant"


def test_a_new_project_is_sound_and_its_tests_pass(project: Path) -> None:
    done = run(commands("sh")[1], project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 0 failed" in done.stdout
    assert (project / "readings.svg").read_text().startswith("<svg")


def test_a_change_that_breaks_a_test_and_a_fault_are_told(project: Path) -> None:
    file = project / "topologies" / "readings.yaml"
    before = file.read_text()
    (humidity,) = commands("yaml")
    breaks, faulty = commands("sh fails")
    try:
        file.write_text(before.replace(_OLD, _OLD + humidity))
        broken = run(breaks, project)
        file.write_text(before.replace(_OLD, _OLD + humidity.replace("tolerance", "tolerence")))
        fault = run(faulty, project)
    finally:
        file.write_text(before)
    assert broken.returncode == 1
    assert "1 failed" in broken.stdout
    assert fault.returncode == 1
    line = before.splitlines().index(_OLD.rstrip()) + 2
    assert f"readings.yaml:{line}:" in fault.stdout
    assert "tolerance" in fault.stdout


def test_a_project_is_made_in_a_new_or_an_empty_folder_only(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("gress new empty", tmp_path).returncode == 0
    for taken in ("empty", "empty/README.md"):
        refused = run(f"gress new {taken}", tmp_path)
        assert refused.returncode == 1
        assert "name a folder that is new or empty" in refused.stderr


async def test_a_worker_runs_the_operator_of_the_project(project: Path, kafka: str) -> None:
    names = ("plant.readings", "plant.readings.dlq", "plant.deviations", "plant.warnings")
    await create_topics(kafka, dict.fromkeys(names, TopicSettings(1)))
    (command,) = commands("sh worker")
    with worker(f"exec {command.strip()} --http-port 0", project, kafka):
        async with asyncio.timeout(_PATIENCE_S):
            await _send(kafka, {"sensor": "s-2", "kind": "temperature", "value": 90})
            warning = await _first(kafka, "plant.warnings")
    assert warning == {
        "decision_id": "plant.readings-0-0",
        "sensor": "s-2",
        "kind": "temperature",
        "value": 90.0,
        "deviation": 2.5,
    }


@contextmanager
def worker(command: str, folder: Path, kafka: str) -> Iterator[None]:
    """A worker's process, which ends in good order."""
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=environment(GRESS_KAFKA=kafka)
    )
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(_PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


async def _send(kafka: str, reading: dict[str, object]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait("plant.readings", orjson.dumps(reading))


async def _first(kafka: str, topic: str) -> object:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka, auto_offset_reset="earliest"
    ) as consumer:
        record = await consumer.getone()
    return orjson.loads(record.value)
