"""One direction of an emulated link, with packets and times from a list."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.links.emulator import Emulator, Shape

MS = 1_000_000
shapes = st.builds(
    Shape,
    delay_ms=st.floats(0, 100),
    rate_mbps=st.floats(0.1, 1000),
    queue_bytes=st.integers(1500, 200_000),
    loss=st.floats(0, 1),
    jitter_ms=st.floats(0, 20),
)
#: Nanoseconds since the packet before, and bytes.
arrivals = st.lists(st.tuples(st.integers(0, 5 * MS), st.integers(20, 1500)), max_size=60)
FAR = 10**15


def run(shape: Shape, packets: list[tuple[int, int]], seed: int = 1) -> list[tuple[int, int, int]]:
    """Number, time of offering and time of arrival of each packet that arrives."""
    emulator, now_ns, offered = Emulator(shape, seed), 0, []
    for number, (gap_ns, size) in enumerate(packets):
        now_ns += gap_ns
        offered.append(now_ns)
        emulator.offer(number.to_bytes(2, "big") + bytes(size - 2), now_ns)
    arrived = []
    while (due := emulator.take(FAR)) is not None:
        number = int.from_bytes(due[1][:2], "big")
        assert len(due[1]) == packets[number][1]
        arrived.append((number, offered[number], due[0]))
    return arrived


@given(shapes, arrivals)
def test_packets_keep_their_order_and_arrive_once(
    shape: Shape, packets: list[tuple[int, int]]
) -> None:
    arrived = run(shape, packets)
    numbers = [number for number, _, _ in arrived]
    assert numbers == sorted(set(numbers))
    assert all(earlier <= later for (*_, earlier), (*_, later) in pairwise(arrived))


@given(shapes, arrivals)
def test_no_packet_arrives_before_it_was_sent_whole_and_has_travelled(
    shape: Shape, packets: list[tuple[int, int]]
) -> None:
    for number, offered_ns, due_ns in run(shape, packets):
        sending_ns = packets[number][1] * 8e3 / shape.rate_mbps
        assert due_ns >= offered_ns + sending_ns + shape.delay_ms * MS - 2


@given(
    st.builds(Shape, st.floats(0, 50), st.floats(0.1, 1000), st.integers(1500, 200_000)), arrivals
)
def test_what_arrives_is_never_faster_than_the_rate(
    shape: Shape, packets: list[tuple[int, int]]
) -> None:
    arrived = run(shape, packets)
    bits = 0
    for number, _, due_ns in arrived[1:]:
        bits += packets[number][1] * 8
        assert bits * 1e3 / shape.rate_mbps <= due_ns - arrived[0][2] + len(arrived)


@given(shapes, arrivals)
def test_every_packet_is_lost_dropped_delivered_or_under_way(
    shape: Shape, packets: list[tuple[int, int]]
) -> None:
    emulator, now_ns = Emulator(shape, 1), 0
    for gap_ns, size in packets:
        now_ns += gap_ns
        emulator.offer(bytes(size), now_ns)
        emulator.take(now_ns)
    counts = emulator.counts
    under_way = counts.offered - counts.lost - counts.overflowed - counts.delivered
    assert counts.offered == len(packets)
    assert sum(1 for _ in iter(lambda: emulator.take(FAR), None)) == under_way


@given(shapes, arrivals, st.integers(0, 2**48))
def test_the_same_seed_gives_each_packet_the_same_fate(
    shape: Shape, packets: list[tuple[int, int]], seed: int
) -> None:
    assert run(shape, packets, seed) == run(shape, packets, seed)


@given(st.integers(0, 40), st.integers(1, 20))
def test_a_burst_beyond_the_queue_is_dropped_and_nothing_else(burst: int, room: int) -> None:
    shape = Shape(delay_ms=1.0, rate_mbps=8.0, queue_bytes=room * 1000)
    arrived = run(shape, [(0, 1000)] * burst)
    assert [number for number, _, _ in arrived] == list(range(min(burst, room)))


def test_packets_that_come_no_faster_than_the_rate_find_no_queue() -> None:
    shape = Shape(delay_ms=10.0, rate_mbps=8.0, queue_bytes=1000)
    arrived = run(shape, [(MS, 1000)] * 50)  # 1000 bytes at 8 Mbit/s take 1 ms
    assert [due_ns - offered_ns for _, offered_ns, due_ns in arrived] == [11 * MS] * 50


def test_a_packet_behind_others_waits_for_them() -> None:
    shape = Shape(delay_ms=10.0, rate_mbps=8.0, queue_bytes=10_000)
    assert [due_ns for *_, due_ns in run(shape, [(0, 1000)] * 3)] == [11 * MS, 12 * MS, 13 * MS]


def test_a_packet_is_not_there_before_its_time() -> None:
    emulator = Emulator(Shape(delay_ms=10.0, rate_mbps=8.0, queue_bytes=10_000), 1)
    assert emulator.next_ns() is None
    assert emulator.offer(bytes(1000), 5 * MS)
    assert emulator.next_ns() == 16 * MS
    assert emulator.take(16 * MS - 1) is None
    assert emulator.take(16 * MS) == (16 * MS, bytes(1000))
    assert emulator.next_ns() is None


def test_loss_takes_its_share() -> None:
    packets = [(MS, 100)] * 20_000
    assert len(run(Shape(1.0, 10.0, 10_000, loss=1.0), packets)) == 0
    assert len(run(Shape(1.0, 10.0, 10_000, loss=0.0), packets)) == 20_000
    assert len(run(Shape(1.0, 10.0, 10_000, loss=0.1), packets)) == pytest.approx(18_000, rel=0.02)


def test_jitter_adds_its_mean_to_packets_that_are_far_apart() -> None:
    arrived = run(Shape(10.0, 1000.0, 10_000, jitter_ms=4.0), [(100 * MS, 100)] * 2_000)
    waits_ms = [(due_ns - offered_ns) / MS for _, offered_ns, due_ns in arrived]
    assert sum(waits_ms) / len(waits_ms) == pytest.approx(14.0, abs=0.3)
    assert min(waits_ms) >= 10.0
    assert max(waits_ms) <= 18.1


@pytest.mark.parametrize(
    "wrong", [{"rate_mbps": 0.0}, {"queue_bytes": 0}, {"delay_ms": -1.0}, {"loss": 1.1}]
)
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not Shape"):
        Shape(**{"delay_ms": 1.0, "rate_mbps": 1.0, "queue_bytes": 1500, **wrong})  # type: ignore[arg-type]
