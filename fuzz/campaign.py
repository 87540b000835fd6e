"""Campaign: inputs for one target until the time is up; what breaks the law becomes a finding."""

from __future__ import annotations

import math
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from fuzz.target import Target

#: One input may take this much processor time; more is a finding. A good one takes half at most.
LIMIT_S = 10.0
#: How many times as long by the clock, on a machine that has other things to do.
_WAIT = 10
_POOL = 2000
_SHRINK_S = 5.0
_ROOT = Path(__file__).parent.parent


class Hung(Exception):  # noqa: N818 - reads as the fact it states
    """An input took longer than ``LIMIT_S``."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that breaks the law."""

    target: str
    kind: str
    data: bytes
    trace: str


@dataclass(slots=True)
class Report:
    """What a campaign did."""

    target: str
    executions: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)
    #: How often each kind of finding came up.
    counts: Counter[str] = field(default_factory=Counter)


def run(target: Target, seconds: float, seed: str, most: float = math.inf) -> Report:
    """Fuzz an entered target with at most so many inputs, for at most so many seconds.

    The same seed gives the same inputs in the same order.
    """
    random = Random(f"{seed}/{target.name}")
    report = Report(target.name)
    pool: list[bytes] = []
    start = time.monotonic()
    for data in _inputs(target, pool, random):
        if report.executions and time.monotonic() - start >= seconds:
            break
        if report.executions >= most:
            break
        report.executions += 1
        answer = tried(target, data, report)
        if answer is not None and not report.answers[answer] and len(pool) < _POOL:
            pool.append(data)
        report.answers[answer or "broken"] += 1
    report.seconds = time.monotonic() - start
    return report


def _inputs(target: Target, pool: list[bytes], random: Random) -> Iterator[bytes]:
    seeds = [*target.seeds(), *(path.read_bytes() for path in target.corpus())]
    yield from seeds
    while True:
        yield target.mutate(random, seeds + pool)


def tried(target: Target, data: bytes, report: Report) -> str | None:
    """Hold the law to one input: its answer; None for one that breaks it, which is reported."""
    try:
        with time_limit(LIMIT_S):
            return plain(target.check(data))
    except Exception as error:
        kind = kind_of(error)
        report.counts[kind] += 1
        if kind not in report.findings:
            small = _shrunk(target, data, kind)
            report.findings[kind] = Finding(target.name, kind, small, traceback.format_exc())
    return None


def kind_of(error: BaseException) -> str:
    """What went wrong and where, the same for inputs that hit the same fault."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(str(_ROOT))]
    inner = [frame for frame in ours if ".venv" not in frame.filename]
    place = f"{Path(inner[-1].filename).name}:{inner[-1].name}" if inner else "?"
    return f"{type(error).__name__} in {place}: {plain(str(error))[:80]}"


def plain(text: str) -> str:
    """A message without what differs from input to input."""
    text = re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`", "_", text[:2000])
    return re.sub(r"[^\s_.:,;()]*\d[^\s_,;()]*", "#", text)[:300]


def _shrunk(target: Target, data: bytes, kind: str) -> bytes:
    """A smaller input that breaks the law in the same way."""
    end = time.monotonic() + _SHRINK_S
    size = len(data) // 2
    while size and time.monotonic() < end:
        at = 0
        while at < len(data) and time.monotonic() < end:
            less = data[:at] + data[at + size :]
            if _breaks(target, less, kind):
                data = less
            else:
                at += size
        size //= 2
    return data


def _breaks(target: Target, data: bytes, kind: str) -> bool:
    try:
        with time_limit(LIMIT_S):
            target.check(data)
    except Exception as error:
        return kind_of(error) == kind
    return False


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Hung in the main thread when the block works longer, or waits ten times as long."""

    def late(_: int, frame: FrameType | None) -> None:
        raise Hung(f"more than {seconds:g} s")

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, 1), (signal.SIGALRM, signal.ITIMER_REAL, _WAIT))
    before = {number: signal.signal(number, late) for number, _, _ in timers}
    for _, timer, times in timers:
        signal.setitimer(timer, seconds * times)
    try:
        yield
    finally:
        for number, timer, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
