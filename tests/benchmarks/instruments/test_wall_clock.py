"""A wall clock that jumps, in plain processes and in a real worker."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from benchmarks.chaos.instruments.clock import WallClock
from gress_ml.dev.topics import TopicSettings, create_topics

ROOT = Path(__file__).parents[3]
_PATIENCE_S = 120.0
_HOUR_S = 3600.0

_TOPOLOGY = """
name: {name}
inputs:
  orders:
    topic: {name}-in
    fields:
      order_id: {{type: int, required: true}}
      amount: {{type: float, required: true}}
      currency: {{type: string, default: EUR}}
steps:
  - name: euro
    operator: convert_currency
    config: {{rates: {{EUR: 1.0}}, output: amount_eur}}
outputs:
  converted:
    topic: {name}-out
    fields: [decision_id, order_id, amount_eur]
"""


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path / "clock")


class Told:
    """A Python process that tells what its clocks say, each time it is asked."""

    def __init__(self, program: str, clock: WallClock | None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **(clock.environment if clock else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> list[float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [float(word) for word in self._process.stdout.readline().split()]

    def end(self) -> int:
        """Its exit code, once it has heard that nobody asks any more."""
        self._process.communicate()
        return self._process.returncode


_CLOCKS = """
import sys
from time import monotonic, time, time_ns
for _ in sys.stdin:
    print(time(), time_ns() / 1e9, monotonic(), flush=True)
"""


@contextmanager
def _clocks(clock: WallClock | None, program: str = _CLOCKS) -> Iterator[Told]:
    told = Told(program, clock)
    try:
        yield told
    finally:
        code = told.end()
    assert code == 0


def _near(moment: float) -> Any:
    """Not a minute off: a jump is an hour."""
    return pytest.approx(moment, abs=60)


@pytest.mark.parametrize("jump_s", [_HOUR_S, -_HOUR_S, 30.0])
def test_the_time_of_day_jumps_and_the_monotonic_clock_does_not(
    clock: WallClock, jump_s: float
) -> None:
    with _clocks(clock) as process:
        before, asked = process.ask(), time.time()
        assert before[0] == _near(asked)
        clock.jump(jump_s)
        after = process.ask()
        passed = after[2] - before[2]
        assert passed >= 0
        assert after[0] - before[0] == pytest.approx(jump_s + passed, abs=5)
        assert after[1] - before[1] == pytest.approx(jump_s + passed, abs=5)


def test_jumps_add_up_and_healing_ends_them(clock: WallClock) -> None:
    clock.jump(_HOUR_S)
    clock.jump(-3 * _HOUR_S)
    assert clock.shift_s == -2 * _HOUR_S
    with _clocks(clock) as process:
        assert process.ask()[0] == _near(time.time() - 2 * _HOUR_S)
        clock.heal()
        assert process.ask()[0] == _near(time.time())


def test_a_process_without_the_environment_keeps_its_time(clock: WallClock) -> None:
    clock.jump(_HOUR_S)
    with _clocks(None) as process:
        assert process.ask()[0] == _near(time.time())


def test_a_child_of_the_process_has_its_time(clock: WallClock) -> None:
    clock.jump(_HOUR_S)
    program = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {_CLOCKS!r}], check=True)
"""
    with _clocks(clock, program) as process:
        assert process.ask()[0] == _near(time.time() + _HOUR_S)


@contextmanager
def _worker(project: Path, bootstrap: str, clock: WallClock) -> Iterator[Path]:
    """A worker with this clock; its log."""
    log = project / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from gress_ml.cli.main import main; main()", "worker"),
                *(project / "orders.yaml", "--kafka", bootstrap, "--http-port", "0"),
            ],
            env={**os.environ, **clock.environment},
            cwd=project,
            stdout=output,
            stderr=output,
        )
    try:
        yield log
        process.terminate()
        assert process.wait(_PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


async def _through(
    producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, topic: str, first: int
) -> list[ConsumerRecord[bytes, bytes]]:
    """Send ten orders and read ten answers."""
    for number in range(first, first + 10):
        await producer.send(topic, orjson.dumps({"order_id": number, "amount": 1.0}))
    await producer.flush()
    async with asyncio.timeout(_PATIENCE_S):
        answers = [await consumer.getone() for _ in range(10)]
    assert [orjson.loads(a.value)["order_id"] for a in answers] == list(range(first, first + 10))
    return answers


async def test_a_worker_decides_on_while_its_clock_jumps_to_and_fro(
    kafka: str, topic_name: str, tmp_path: Path, clock: WallClock
) -> None:
    name = topic_name[-12:]
    shutil.copytree(ROOT / "docs/examples/operators", tmp_path / "operators")
    (tmp_path / "orders.yaml").write_text(_TOPOLOGY.format(name=name))
    topics = (f"{name}-in", f"{name}-out", f"{name}-in.dlq", "gress.control")
    await create_topics(kafka, dict.fromkeys(topics, TopicSettings(1)))
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka) as producer,
        AIOKafkaConsumer(
            f"{name}-out", bootstrap_servers=kafka, auto_offset_reset="earliest"
        ) as consumer,
    ):
        with _worker(tmp_path, kafka, clock) as log:
            # not further ahead: Kafka takes no record from more than an hour in the future
            for step, jump_s in enumerate((0.0, 0.9 * _HOUR_S, -2 * _HOUR_S)):
                clock.jump(jump_s)
                answers = await _through(producer, consumer, f"{name}-in", first=10 * step)
                for answer in answers:  # stamped by the worker
                    told = answer.timestamp / 1000 - clock.shift_s
                    assert told == pytest.approx(time.time(), abs=_PATIENCE_S)
        assert "Traceback" not in log.read_text()
