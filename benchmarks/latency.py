"""Latency: from the moment an event is meant to leave to its decision, at a fixed rate."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.contenders import ROOT, Contender
from benchmarks.running import Running
from benchmarks.topics import DECISIONS, TRANSFERS, Topics

WARM_UP_S = 2.0
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Delay:
    """One repetition of one contender."""

    p50_ms: float
    p99_ms: float
    lost: int  # events without a decision


def measure(
    contender: Contender | None, rate: int, topics: Topics, home: Path, seconds: float
) -> Delay:
    """At ``rate`` events per second; None is no worker at all: what Kafka itself takes."""
    topics.empty()
    if contender is not None:
        topics.forget(contender.group)
    with ExitStack() as life:
        if contender is not None:
            life.enter_context(Running(contender, topics.bootstrap, home))
        topic = TRANSFERS if contender is None else DECISIONS
        return _open_loop(topics.bootstrap, topic, rate, seconds)


def _open_loop(broker: str, topic: str, rate: int, seconds: float) -> Delay:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.open_loop", broker, topic),
            *(str(rate), str(seconds + WARM_UP_S), str(WARM_UP_S)),
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=_PATIENCE_S + seconds,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed:\n{done.stderr.decode()[-2000:]}")
    return Delay(**orjson.loads(done.stdout.splitlines()[-1]))
