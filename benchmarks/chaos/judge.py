"""Judge: compares what a lane wrote with what an undisturbed worker wrote over the same log.

It reads topics only, as a program downstream would: committed records under exactly once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from benchmarks.chaos.kafka_log import LogRecord
from benchmarks.chaos.lane import Lane
from benchmarks.chaos.stalls import Happening, Span, Stall, find_stalls

Place = tuple[int, int]  # partition and offset of an input record
Bodies = Mapping[Place, frozenset[bytes]]  # those that may be

_DEAD = "dead letters"
_UNKNOWN = b""  # in place of a body that was made while a store was away
_NONE: frozenset[bytes] = frozenset()
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """One record that a lane wrote: of which input record, and what it says."""

    place: Place
    body: bytes
    degraded: bool
    partition: int
    key: bytes | None
    at_ms: int


@dataclass(slots=True)
class Verdict:
    """What was found in the topics of a lane."""

    answers: int = 0
    dead_letters: int = 0
    lost: int = 0  # an undisturbed worker wrote them
    twice: int = 0  # beyond the first of their id, dead letters included
    different: int = 0  # other bodies than those of an undisturbed worker
    out_of_order: int = 0  # first appearances of a key that stand before an earlier one
    degraded: int = 0  # made while a store was away, and they say so: not compared
    stalls: list[Stall] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def flaws(self, lane: Lane) -> int:
        """What the lane's guarantee does not allow."""
        twice = self.twice if lane.once else 0
        return self.lost + self.different + self.out_of_order + twice

    def example(self, text: str) -> None:
        """Keep the first ones, to be shown."""
        if len(self.examples) < _SHOWN:
            self.examples.append(text)


class Reader(Protocol):
    """Where topics are read."""

    def read(self, topic: str, *, committed_only: bool) -> Iterator[LogRecord]:
        """Everything that is in a topic now; each partition in order."""


class Judge:
    """Knows the log of one storm: what was asked, and what an undisturbed worker answered."""

    def __init__(self, log: Reader, source: str) -> None:
        self._log = log
        self._asked: Mapping[Place, int] = {
            (record.partition, record.offset): record.at_ms
            for record in log.read(source, committed_only=False)
        }
        self.events = len(self._asked)

    def expected(self, *undisturbed: Lane) -> Mapping[str, Bodies]:
        """By output, the bodies of each input record that has some. Each record has."""
        bodies: dict[str, dict[Place, frozenset[bytes]]] = {}
        for lane in undisturbed:
            unanswered = set(self._asked)
            for name, answers in self._answers(lane):
                known = bodies.setdefault(name, {})
                for answer in answers:
                    body = _UNKNOWN if answer.degraded else answer.body
                    known[answer.place] = known.get(answer.place, _NONE) | {body}
                    unanswered.discard(answer.place)
            if unanswered:
                raise RuntimeError(f"the undisturbed worker left out {len(unanswered)} events")
        return bodies

    def judge(
        self,
        lane: Lane,
        expected: Mapping[str, Bodies],
        happenings: Sequence[Happening],
    ) -> Verdict:
        """What the lane wrote, against what was to be written."""
        verdict = Verdict()
        first_ms: dict[Place, int] = {}
        for output, answers in self._answers(lane):
            seen = _compare(verdict, output, answers, expected[output], lane.once)
            for place, at_ms in seen.items():
                first_ms[place] = min(at_ms, first_ms.get(place, at_ms))
            verdict.dead_letters += len(seen) if output == _DEAD else 0
        verdict.answers = len(first_ms)
        verdict.stalls = self._stalls(first_ms, happenings)
        return verdict

    def judge_versions(self, lane: Lane, told: Iterable[LogRecord], verdict: Verdict) -> None:
        """Each input record's last body names the version that the history says decided it."""
        history: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for record in told:
            one = orjson.loads(record.value)
            if one["topology"] == lane.name:
                history[one["partition"]].append((one["offset"], one["version"]))
        for output, answers in self._answers(lane):
            if output != _DEAD:
                for place, body in {answer.place: answer.body for answer in answers}.items():
                    version = orjson.loads(body)["version"]
                    decided = _decided_by(history[place[0]], place[1])
                    if version != decided:
                        verdict.different += 1
                        verdict.example(f"{place}: of {version}, and the history says {decided}")

    def _answers(self, lane: Lane) -> Iterator[tuple[str, Iterator[Answer]]]:
        for output, topic in lane.outputs.items():
            yield output, map(_decided, self._log.read(topic, committed_only=lane.once))
        yield _DEAD, map(_buried, self._log.read(lane.dead_letters, committed_only=lane.once))

    def _stalls(
        self, first_ms: Mapping[Place, int], happenings: Sequence[Happening]
    ) -> list[Stall]:
        spans: dict[int, list[Span]] = defaultdict(list)
        for place, at_ms in first_ms.items():
            if place in self._asked:
                spans[place[0]].append(Span(self._asked[place], at_ms))
        return [stall for part in spans.values() for stall in find_stalls(part, happenings)]


def _compare(
    verdict: Verdict, output: str, answers: Iterator[Answer], expected: Bodies, once: bool
) -> Mapping[Place, int]:
    """Count what is wrong in one topic; when each place was first answered there."""
    first_ms: dict[Place, int] = {}
    newest: dict[tuple[int, bytes | None], Place] = {}
    for answer in answers:
        _compare_body(verdict, output, answer, expected.get(answer.place, _NONE))
        if answer.place in first_ms:
            verdict.twice += 1
            if once:
                verdict.example(f"twice in {output}: {answer.place}")
            continue
        first_ms[answer.place] = answer.at_ms
        before = newest.setdefault((answer.partition, answer.key), answer.place)
        if before > answer.place:
            verdict.out_of_order += 1
            verdict.example(f"{output}, key {answer.key!r}: {answer.place} after {before}")
        newest[answer.partition, answer.key] = max(before, answer.place)
    lost = expected.keys() - first_ms
    verdict.lost += len(lost)
    for place in sorted(lost)[:5]:
        verdict.example(f"lost in {output}: {place}")
    return first_ms


def _decided_by(history: Sequence[tuple[int, str]], offset: int) -> str | None:
    """The version of the last record, in the order of the log, that begins at or before it."""
    return next((version for first, version in reversed(history) if first <= offset), None)


def _compare_body(
    verdict: Verdict, output: str, answer: Answer, expected: frozenset[bytes]
) -> None:
    if answer.degraded or _UNKNOWN in expected:
        verdict.degraded += 1
    elif answer.body not in expected:
        verdict.different += 1
        told = " or ".join(body.decode(errors="replace") for body in sorted(expected)) or "nothing"
        verdict.example(f"{output} {answer.place}: {answer.body!r} instead of {told}")


def _decided(record: LogRecord) -> Answer:
    body = orjson.loads(record.value)
    return _answer(record, body["decision_id"], record.value, bool(body.get("degraded")))


def _buried(record: LogRecord) -> Answer:
    """A dead letter says what its headers say; the time in them is no part of it."""
    headers = record.headers
    told = b"|".join((headers["gress-error-code"], headers["gress-operator"], record.value))
    return _answer(record, headers["gress-source"].decode(), told, False)


def _answer(record: LogRecord, source: str, body: bytes, degraded: bool) -> Answer:
    _, partition, offset = source.rsplit("-", 2)
    place = (int(partition), int(offset))
    return Answer(place, body, degraded, record.partition, record.key, record.at_ms)
