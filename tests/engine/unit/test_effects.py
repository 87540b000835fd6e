"""Effects at the producer's seam: a wire in memory that keeps what is delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import structlog
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.kafka.producer import Message, TooLargeError, partition_of
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.bundle import Publication
from gress_ml.engine.effects import Effects
from gress_ml.engine.outages import Outages
from gress_ml.engine.publishing import Publishing
from gress_ml.errors import BrokerUnavailable, ModelCorrupt, StoreUnavailable
from gress_ml.metrics import (
    DEAD_LETTERS,
    DEGRADED,
    MODELS_PUBLISHED,
    OUTPUTS,
    STORE_ERRORS,
    Kind,
    Measure,
    Metric,
)
from gress_ml.operator import Lookup, Write
from gress_ml.ports import Float32, Published
from gress_ml.record import FileRecord
from gress_ml.runtime.plan import DeadLetter, Produced, Result

NOW_S = 1795219200.123


class Wire:
    """An ``OutputProducer`` whose broker is a list; a batch of over ``limit`` bytes is refused."""

    def __init__(self, partitions: Mapping[str, int], limit: int = 10**9) -> None:
        self.partitions = partitions
        self.limit = limit
        self.sent: list[tuple[str, int, Message]] = []
        self.handed_over: list[str] = []  # topics, not yet acknowledged
        self.refused = 0
        self.away = 0  # how many look-ups fail
        self.hold: asyncio.Event | None = None

    def known_partitions(self, topic: str) -> int:
        return 0

    async def partitions_of(self, topic: str) -> int:
        if self.away:
            self.away -= 1
            raise BrokerUnavailable("away")
        return self.partitions[topic]

    async def deliver(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> Awaitable[None]:
        self.handed_over.append(topic)
        size = sum(
            len(m.key or b"") + len(m.value or b"") + sum(len(v) for _, v in m.headers)
            for m in messages
        )

        async def acknowledged() -> None:
            if self.hold is not None:
                await self.hold.wait()
            if size > self.limit:
                self.refused += 1
                raise TooLargeError(f"{size} bytes")
            self.sent += [(topic, partition, message) for message in messages]

        return asyncio.ensure_future(acknowledged())

    def on(self, topic: str) -> list[tuple[int, bytes | None]]:
        return [(p, m.value) for t, p, m in self.sent if t == topic]

    def letters(self, topic: str = "in.dlq") -> list[Message]:
        return [m for t, _, m in self.sent if t == topic]


class Away:
    """A feature store that does not answer."""

    async def fetch(self, table: str, fields: tuple[str, ...], keys: Sequence[bytes]) -> Float32:
        raise StoreUnavailable("away")

    async def put(
        self, table: str, fields: tuple[str, ...], keys: Sequence[bytes], rows: Float32
    ) -> None:
        raise StoreUnavailable("away")

    async def close(self) -> None: ...


class Shop:
    """Effects with its surroundings."""

    def __init__(self, wire: Wire, store: Any = None, publisher: Any = None) -> None:
        self.wire, self.metrics, clock = wire, PrometheusMetrics(), ManualClock(NOW_S)
        self.store = MemoryFeatures(clock) if store is None else store
        outages = Outages(self.metrics, clock.monotonic())
        self.told: list[tuple[str, str]] = []
        publishing = Publishing(publisher, self.announce, self.metrics, clock)
        self.effects = Effects(wire, self.store, self.metrics, clock, outages, publishing)  # type: ignore[arg-type]

    async def announce(self, model: str, alias: str, version: str, time: str) -> None:
        self.told.append((model, version))

    async def perform(
        self, records: Sequence[FileRecord], result: Result, partition: int = 1
    ) -> None:
        await (await self.effects.perform(("in", partition), records, result, "in.dlq"))


def shop(limit: int = 10**9, store: Any = None, **partitions: int) -> Shop:
    return Shop(Wire({"in": 4, "in.dlq": 4, "out": 4, **partitions}, limit), store)


def record(offset: int = 7, value: bytes | None = b"{}", **more: Any) -> FileRecord:
    return FileRecord(offset, value, **{"key": b"k", **more})


def produced(records: Sequence[FileRecord], *values: bytes, topic: str = "out") -> Result:
    """Each record's own key with a value of its own."""
    keys = [record.key for record in records]
    return Result([Produced(topic, keys, values, list(range(len(values))))])


# --- where messages go ----------------------------------------------------------------------------


async def test_same_keys_and_as_many_partitions_give_the_input_s_own_partition() -> None:
    place = shop()
    records = [record(0, key=b"a"), record(1, key=None)]
    await place.perform(records, produced(records, b"A", b"B"), partition=3)
    assert place.wire.on("out") == [(3, b"A"), (3, b"B")]
    assert [m.key for _, _, m in place.wire.sent] == [b"a", None]
    assert place.metrics.value(OUTPUTS, ("out",)) == 2


async def test_outputs_and_dead_letters_are_handed_over_before_anything_else_runs() -> None:
    """So they travel in one request, which the broker and the worker pay for once."""
    place = shop()
    records = [record(0), record(1)]
    result = produced(records[:1], b"A")
    result.dead.append(DeadLetter(1, "op", "code", "why"))
    safe = await place.effects.perform(("in", 1), records, result, "in.dlq")
    assert place.wire.handed_over == ["out", "in.dlq"]
    assert not place.wire.sent
    await safe
    assert len(place.wire.sent) == 2


async def test_with_other_counts_messages_go_by_their_keys_in_order() -> None:
    place = shop(out=7)
    records = [record(i, key=str(i % 5).encode()) for i in range(40)]
    values = [str(i).encode() for i in range(40)]
    await place.perform(records, produced(records, *values), partition=3)
    expected = {value: partition_of(r.key or b"", 7) for r, value in zip(records, values)}  # noqa: B905
    assert {value: p for p, value in place.wire.on("out")} == expected
    for key in range(5):
        of_key = [int(v or b"") for _, v in place.wire.on("out") if int(v or b"") % 5 == key]
        assert of_key == sorted(of_key)


async def test_keys_of_their_own_are_hashed_and_none_stays_beside_its_input() -> None:
    place = shop(out=4)
    records = [record(0), record(1), record(2)]
    result = Result([Produced("out", [b"x", None, b"k"], [b"0", b"1", b"2"], [0, 1, 2])])
    await place.perform(records, result, partition=3)
    assert sorted(place.wire.on("out"), key=lambda sent: sent[1] or b"") == [
        (partition_of(b"x", 4), b"0"), (3, b"1"), (partition_of(b"k", 4), b"2"),
    ]  # fmt: skip


async def test_fewer_partitions_than_the_input_wrap_around() -> None:
    place = shop(out=2, **{"in.dlq": 3})
    records = [record(0, key=None)]
    result = produced(records, b"A")
    result.dead.append(DeadLetter(0, "op", "code", "why"))
    await place.perform(records, result, partition=3)
    assert place.wire.on("out") == [(1, b"A")]
    assert [p for p, _ in place.wire.on("in.dlq")] == [0]


@given(st.binary(max_size=40), st.integers(1, 200))
def test_partitions_are_those_of_kafka_s_default_partitioner(key: bytes, count: int) -> None:
    partitions = list(range(count))
    assert partition_of(key, count) == DefaultPartitioner()(key, partitions, partitions)


async def test_a_topic_that_is_not_there_yet_is_waited_for() -> None:
    place = shop()
    place.wire.away = 1
    records = [record()]
    await place.perform(records, produced(records, b"A"))
    assert place.wire.on("out") == [(1, b"A")]


async def test_the_future_is_done_only_when_everything_is_acknowledged() -> None:
    place = shop()
    place.wire.hold = asyncio.Event()
    records = [record()]
    future = await place.effects.perform(("in", 1), records, produced(records, b"A"), "in.dlq")
    await asyncio.sleep(0.01)
    assert not future.done()
    place.wire.hold.set()
    await future
    assert place.wire.on("out") == [(1, b"A")]


async def test_a_batch_without_effects_is_safe_at_once() -> None:
    place = shop()
    await place.perform([record()], Result())
    assert place.wire.sent == []


# --- trace headers --------------------------------------------------------------------------------

TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


async def test_trace_headers_travel_and_others_do_not() -> None:
    place = shop()
    state = ("tracestate", b"vendor=1")
    records = [record(0, headers=(("other", b"1"), TRACE, state)), record(1), record(2, b"x")]
    result = produced(records[:2], b"A", b"B")
    result.dead.append(DeadLetter(0, "op", "code", "why"))
    await place.perform(records, result)
    headers = {m.value: list(m.headers) for t, _, m in place.wire.sent if t == "out"}
    assert headers == {b"A": [TRACE, state], b"B": []}
    assert TRACE in place.wire.letters()[0].headers
    assert ("other", b"1") not in place.wire.letters()[0].headers


@pytest.mark.parametrize("value", [None, b"x" * 100_000])
async def test_a_trace_header_that_is_none_or_too_long_stays_behind(value: Any) -> None:
    place = shop()
    records = [record(headers=(("tracestate", value), TRACE, TRACE))]
    await place.perform(records, produced(records, b"A"))
    assert list(place.wire.sent[0][2].headers) == [TRACE]


# --- dead letters ---------------------------------------------------------------------------------


async def test_a_dead_letter_is_the_original_with_the_reason_in_its_headers() -> None:
    place = shop()
    records = [record(40, b"good"), record(42, b"\xff bad", key=b"\x00key")]
    result = Result(dead=[DeadLetter(1, "decode", "invalid_utf8", "nicht gültig")])
    await place.perform(records, result)
    topic, partition, letter = place.wire.sent[0]
    assert (topic, partition) == ("in.dlq", 1)
    assert (letter.key, letter.value) == (b"\x00key", b"\xff bad")
    assert dict(letter.headers) == {
        "gress-error-code": b"invalid_utf8",
        "gress-error-message": "nicht gültig".encode(),
        "gress-source": b"in-1-42",
        "gress-operator": b"decode",
        "gress-time": b"2026-11-21T00:00:00.123+00:00",
    }
    assert place.metrics.value(DEAD_LETTERS, ("in", "invalid_utf8")) == 1


async def test_a_record_without_value_or_key_is_buried_as_it_is() -> None:
    place = shop()
    await place.perform([record(0, None, key=None)], Result(dead=[DeadLetter(0, "d", "empty", "")]))
    assert (place.wire.letters()[0].key, place.wire.letters()[0].value) == (None, None)


async def test_a_reason_that_is_not_text_is_escaped() -> None:
    place = shop()
    await place.perform([record()], Result(dead=[DeadLetter(0, "d", "code", "half \ud800")]))
    assert dict(place.wire.letters()[0].headers)["gress-error-message"] == rb"half \ud800"


async def test_only_what_the_broker_does_not_take_is_shortened() -> None:
    place = shop(limit=500_000)
    records = [record(0, b"a" * 100), record(1, b"b" * 700_000)]
    dead = [DeadLetter(0, "d", "code", ""), DeadLetter(1, "d", "code", "")]
    await place.perform(records, Result(dead=dead))
    small, large = place.wire.letters()
    assert small.value == b"a" * 100
    assert "gress-truncated-from" not in dict(small.headers)
    assert large.value == b"b" * 256 * 1024
    assert dict(large.headers)["gress-truncated-from"] == b"700000"
    assert place.metrics.value(DEAD_LETTERS, ("in", "code")) == 2


@pytest.mark.parametrize("limit", [100_000, 3_000])
@pytest.mark.parametrize("size", [900_000, 50_000])
async def test_a_dead_letter_fits_whatever_the_broker_takes(limit: int, size: int) -> None:
    place = shop(limit=limit)
    records = [record(0, b"v" * size, key=b"k" * size, headers=[TRACE])]
    await place.perform(records, Result(dead=[DeadLetter(0, "d", "code", "m" * 1000)]))
    (letter,) = place.wire.letters()
    assert dict(letter.headers)["gress-source"] == b"in-1-0"


# --- outputs that are too large -------------------------------------------------------------------


async def test_an_output_that_is_too_large_makes_its_input_the_dead_letter() -> None:
    place = shop(limit=1000)
    records = [record(10 + i, str(i).encode()) for i in range(8)]
    values = [b"v" * (2000 if i in (2, 5) else 10) + str(i).encode() for i in range(8)]
    await place.perform(records, produced(records, *values))
    assert [v for _, v in place.wire.on("out")] == [v for v in values if len(v) < 1000]
    assert [(m.value, dict(m.headers)["gress-error-code"]) for m in place.wire.letters()] == [
        (b"2", b"output_too_large"),
        (b"5", b"output_too_large"),
    ]
    assert [dict(m.headers)["gress-operator"] for m in place.wire.letters()] == [b"out", b"out"]
    assert place.metrics.value(OUTPUTS, ("out",)) == 6


async def test_a_batch_that_is_too_large_as_a_whole_is_sent_in_halves() -> None:
    place = shop(limit=100)
    records = [record(i) for i in range(16)]
    values = [str(i).encode() * 10 for i in range(16)]
    await place.perform(records, produced(records, *values))
    assert [v for _, v in place.wire.on("out")] == values
    assert place.wire.letters() == []


# --- the feature store ----------------------------------------------------------------------------


def write(value: float, key: bytes = b"k") -> Write:
    return Write("t", ("a",), [key], np.array([[value]], np.float32))


async def test_writes_are_there_when_the_batch_is_safe_and_lookups_find_them() -> None:
    place = shop()
    await place.perform([record()], Result(writes=[write(1.0), write(2.0)]))
    answers = await place.effects.fetch([Lookup("x", "t", ("a",), [b"k", b"none"])])
    assert answers[0] is not None
    assert answers[0].tolist()[0] == [2.0]
    assert np.isnan(answers[0][1, 0])


async def test_a_store_that_is_away_degrades_and_is_counted() -> None:
    place = shop(store=Away())
    lookups = [Lookup("x", "t", ("a",), [b"k"]), Lookup("y", "t", ("a",), [b"k"])]
    assert await place.effects.fetch(lookups) == [None, None]
    records = [record()]
    result = produced(records, b"A")
    result.writes += [write(1.0), write(2.0)]
    await place.perform(records, result)
    assert place.wire.on("out") == [(1, b"A")]
    assert place.metrics.value(STORE_ERRORS, ("features",)) == 2


class SlowFirst(MemoryFeatures):
    """A store in which the write of 1 takes until that of 3 is done."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.order: list[float] = []
        self._third = asyncio.Event()

    async def put(
        self, table: str, fields: tuple[str, ...], keys: Sequence[bytes], rows: Float32
    ) -> None:
        if rows[0, 0] == 1:
            await asyncio.wait_for(self._third.wait(), 60)
        self.order.append(float(rows[0, 0]))
        if rows[0, 0] == 3:
            self._third.set()
        await super().put(table, fields, keys, rows)


async def test_writes_of_a_partition_keep_the_order_of_its_batches() -> None:
    store = SlowFirst()
    place = shop(store=store)
    first = await place.effects.perform(("in", 1), [record(0)], Result(writes=[write(1)]), "in.dlq")
    second = await place.effects.perform(
        ("in", 1), [record(1)], Result(writes=[write(2)]), "in.dlq"
    )
    other = shop(store=store).effects  # of another partition: it does not wait
    third = await other.perform(("in", 2), [record(0)], Result(writes=[write(3)]), "in.dlq")
    await asyncio.gather(first, second, third)
    assert store.order == [3, 1, 2]


async def test_measures_and_degraded_systems_are_recorded() -> None:
    place = shop()
    seen = Metric("seen_total", Kind.COUNTER, "Seen.", ("what",))
    result = Result(measures=[Measure(seen, 3, ("x",))], degraded={"feature_store"})
    await place.perform([record()], result)
    assert place.metrics.value(seen, ("x",)) == 3
    assert place.metrics.value(DEGRADED, ("feature_store",)) == 1


async def test_a_line_of_an_operator_may_name_its_event() -> None:
    place = shop()
    lines = [{"event": "prediction", "request_id": "r-1"}, {"topic": "mine", "count": 2}]
    with structlog.testing.capture_logs() as logged:
        await place.perform([record()], Result(logs=lines))
    assert [line["event"] for line in logged] == ["prediction", "operator_log"]
    assert logged[0]["request_id"] == "r-1"


# --- models ---------------------------------------------------------------------------------------


class Publisher:
    """A registry that gives the answers in turn, or raises them."""

    def __init__(self, *answers: Published | Exception) -> None:
        self.answers = [*answers]
        self.asked: list[tuple[str, str]] = []

    def publish(self, wanted: Publication, created: str) -> Published:
        self.asked.append((wanted.version, created))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def offered(*versions: str) -> Result:
    made = [Publication("late", one, {}, {"a": 1.0}, "a", True) for one in versions]
    return Result(publications=made)


async def test_models_are_published_in_order_before_the_batch_is_safe() -> None:
    publisher = Publisher(Published.PUBLISHED, Published.PRESENT, Published.WORSE)
    place = Shop(Wire({"in": 4, "in.dlq": 4}), publisher=publisher)
    await place.perform([record()], offered("1.0.1", "1.0.2", "1.0.3"))
    assert [version for version, _ in publisher.asked] == ["1.0.1", "1.0.2", "1.0.3"]
    assert {created[:10] for _, created in publisher.asked} == {"2026-11-21"}
    for result in ("published", "present", "worse"):
        assert place.metrics.value(MODELS_PUBLISHED, ("late", result)) == 1
    assert place.told == [("late", "1.0.1"), ("late", "1.0.2")]  # what changed, or may have


async def test_a_registry_that_is_away_or_refuses_costs_the_model_and_not_the_batch() -> None:
    publisher = Publisher(StoreUnavailable("away"), ModelCorrupt("no"), Published.PUBLISHED)
    place = Shop(Wire({"in": 4, "in.dlq": 4}), publisher=publisher)
    await place.perform([record()], offered("1.0.1", "1.0.2", "1.0.3"))
    for result in ("unavailable", "refused", "published"):
        assert place.metrics.value(MODELS_PUBLISHED, ("late", result)) == 1
