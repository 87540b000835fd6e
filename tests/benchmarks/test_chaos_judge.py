"""What the judge counts: on plain records, as they lie in topics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson

from benchmarks.chaos.judge import Judge, Verdict
from benchmarks.chaos.kafka_log import LogRecord
from benchmarks.chaos.lane import Lane
from benchmarks.chaos.subject import SELECTOR, SWAPPED

SOURCE = "dwcp.transfers"
CALM = Lane(SELECTOR, "at_least_once", undisturbed=True)
ONCE = Lane(SELECTOR, "exactly_once")
AT_LEAST_ONCE = Lane(SELECTOR, "at_least_once")


class Topics:
    """Records by topic, where a broker would be."""

    def __init__(self, **topics: list[LogRecord]) -> None:
        self._topics = topics

    def read(self, topic: str, *, committed_only: bool) -> Iterator[LogRecord]:
        return iter(self._topics.get(topic, ()))


def asked(offset: int) -> LogRecord:
    return LogRecord(0, offset, 1000 + offset, b"vm", b"{}", {})


def decided(offset: int, algorithm: str = "hde", degraded: tuple[str, ...] = ()) -> LogRecord:
    place = f"{SOURCE}-0-{offset}"
    body = {"decision_id": place, "algorithm": algorithm, "degraded": degraded}
    return LogRecord(0, 0, 2000 + offset, b"vm", orjson.dumps(body), {})


def buried(offset: int, code: str = "invalid_json", moment: str = "now") -> LogRecord:
    headers = {
        "gress-error-code": code.encode(),
        "gress-operator": b"decode",
        "gress-source": f"{SOURCE}-0-{offset}".encode(),
        "gress-time": moment.encode(),
    }
    return LogRecord(0, 0, 2000 + offset, b"vm", b"{", headers)


def judged(
    written: list[LogRecord],
    dead: list[LogRecord],
    lane: Lane = AT_LEAST_ONCE,
    calm: Sequence[LogRecord] = (),
) -> Verdict:
    """Four events: three decisions and a dead letter are right."""
    topics = {
        SOURCE: [asked(offset) for offset in range(4)],
        CALM.outputs["decisions"]: [*calm] or [decided(0), decided(1), decided(2)],
        CALM.dead_letters: [buried(3)],
        lane.outputs["decisions"]: written,
        lane.dead_letters: dead,
    }
    judge = Judge(Topics(**topics), SOURCE)
    return judge.judge(lane, judge.expected(CALM), [])


def test_a_body_must_be_one_of_those_that_undisturbed_workers_write_in_some_world() -> None:
    other = Lane(SELECTOR, "at_least_once", undisturbed=True, world=1)
    topics = {
        SOURCE: [asked(0), asked(1)],
        CALM.outputs["decisions"]: [decided(0, "hde"), decided(1, "hde")],
        other.outputs["decisions"]: [decided(0, "amst"), decided(1, "amst")],
        ONCE.outputs["decisions"]: [decided(0, "amst"), decided(1, "none")],
    }
    judge = Judge(Topics(**topics), SOURCE)
    verdict = judge.judge(ONCE, judge.expected(CALM, other), [])
    assert (verdict.lost, verdict.different) == (0, 1)


def test_the_last_body_of_an_event_names_the_version_that_the_history_says() -> None:
    lane = Lane(SWAPPED, "at_least_once")
    made = [(0, "1.0.0"), (1, "1.0.0"), (1, "1.1.0"), (2, "1.0.0"), (3, "1.1.0")]
    topics = {
        lane.outputs["decisions"]: [
            LogRecord(0, 0, 0, b"vm", orjson.dumps({"decision_id": f"t-0-{n}", "version": v}), {})
            for n, v in made
        ]
    }
    told = [
        LogRecord(0, 0, 0, b"", orjson.dumps({"topology": name, "partition": 0, **more}), {})
        for name, more in (
            (lane.name, {"offset": 0, "version": "1.0.0"}),
            ("another", {"offset": 0, "version": "2.0.0"}),
            (lane.name, {"offset": 2, "version": "1.1.0"}),
            (lane.name, {"offset": 1, "version": "1.1.0"}),  # decided again, by the next owner
        )
    ]
    verdict = Verdict()
    Judge(Topics(**topics), SOURCE).judge_versions(lane, told, verdict)
    assert verdict.different == 1
    assert "(0, 2): of 1.0.0, and the history says 1.1.0" in verdict.examples[0]


def test_what_an_undisturbed_worker_writes_has_no_flaw() -> None:
    verdict = judged([decided(0), decided(1), decided(2)], [buried(3, moment="later")])
    assert verdict.flaws(AT_LEAST_ONCE) == 0
    assert (verdict.answers, verdict.dead_letters) == (4, 1)


def test_a_decision_that_is_not_there_is_lost() -> None:
    assert judged([decided(0), decided(2)], [buried(3)]).lost == 1


def test_a_dead_letter_that_is_not_there_is_lost() -> None:
    assert judged([decided(0), decided(1), decided(2)], []).lost == 1


def test_the_same_twice_is_a_flaw_under_exactly_once_alone() -> None:
    written = [decided(0), decided(1), decided(0), decided(1), decided(2)]
    verdict = judged(written, [buried(3)])
    assert (verdict.twice, verdict.flaws(AT_LEAST_ONCE)) == (2, 0)
    assert judged(written, [buried(3)], ONCE).flaws(ONCE) == 2


def test_a_dead_letter_twice_counts_as_well() -> None:
    assert judged([decided(0), decided(1), decided(2)], [buried(3), buried(3)]).twice == 1


def test_another_body_is_different_also_where_it_is_the_second_of_its_id() -> None:
    written = [decided(0), decided(1), decided(0, "none"), decided(2)]
    assert judged(written, [buried(3)]).different == 1


def test_a_dead_letter_with_another_code_is_different() -> None:
    assert judged([decided(0), decided(1), decided(2)], [buried(3, "timeout")]).different == 1


def test_an_answer_that_nobody_asked_for_is_different() -> None:
    written = [decided(0), decided(1), decided(2), decided(7)]
    assert judged(written, [buried(3)]).different == 1


def test_a_decision_made_without_a_store_says_so_and_is_counted_apart() -> None:
    written = [decided(0), decided(1, "none", ("feature_store",)), decided(2)]
    verdict = judged(written, [buried(3)])
    assert (verdict.degraded, verdict.different) == (1, 0)


def test_what_was_to_be_written_is_not_known_where_the_undisturbed_worker_had_no_store() -> None:
    calm = [decided(0, "none", ("feature_store",)), decided(1), decided(2)]
    verdict = judged([decided(0), decided(1), decided(2)], [buried(3)], calm=calm)
    assert (verdict.degraded, verdict.different) == (1, 0)


def test_first_appearances_of_a_key_have_the_order_of_their_offsets() -> None:
    assert judged([decided(0), decided(2), decided(1)], [buried(3)]).out_of_order == 1
    assert judged([decided(0), decided(1), decided(0), decided(2)], [buried(3)]).out_of_order == 0
