"""A bench per test: topics, group and topology file of its own on the session's Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from kit import Bench, WorkerProcess


@pytest.fixture
async def bench_of(
    kafka: str, topic_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Bench]]:
    """Makes the bench of a test; processes that it started are ended with the test."""
    started: list[WorkerProcess] = []
    start = Bench.process

    def process(bench: Bench, *options: str) -> WorkerProcess:
        started.append(start(bench, *options))
        return started[-1]

    monkeypatch.setattr(Bench, "process", process)

    def make(bootstrap: str = kafka, **settings: Any) -> Bench:
        return Bench(bootstrap, topic_name, tmp_path, **settings)

    yield make
    for worker in started:
        worker.kill()


@pytest.fixture
async def bench(bench_of: Callable[..., Bench]) -> Bench:
    """A pass-through topology with its topics made."""
    made = bench_of()
    await made.make_topics()
    return made
