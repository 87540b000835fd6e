from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.dwcp.congestion import MSS_BYTES, PACKET_BYTES, CongestionControl
from gress_ml.dwcp.hosts import Host, elapsed_ms
from gress_ml.dwcp.links import LINKS, Link, LinkState, link_profile
from gress_ml.dwcp.transfer_time import cost, rate_mbps, transfer_ms

BBR = CongestionControl.BBR
PAYLOAD = MSS_BYTES / PACKET_BYTES

links = st.builds(
    LinkState,
    link_type=st.just("wan"),
    tier=st.just(1),
    bandwidth_available_mbps=st.floats(0.01, 100_000),
    bandwidth_utilization=st.just(0.0),
    rtt_ms=st.floats(0, 1000),
    jitter_ms=st.floats(0, 100),
    loss=st.floats(0, 0.5),
    congestion_control=st.sampled_from(CongestionControl),
)
streams = st.integers(1, 64)
sizes = st.integers(0, 1 << 30)
ROUNDING = 1 + 1e-9


@given(links, streams, sizes, sizes)
def test_more_bytes_never_take_less_time(link: LinkState, n: int, a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert transfer_ms(small, link, n) <= transfer_ms(large, link, n) * ROUNDING


@given(links, streams, sizes, st.floats(0, 1000))
def test_a_longer_round_trip_never_takes_less_time(
    link: LinkState, n: int, size: int, rtt_ms: float
) -> None:
    near, far = sorted((link, replace(link, rtt_ms=rtt_ms)), key=lambda state: state.rtt_ms)
    assert transfer_ms(size, near, n) <= transfer_ms(size, far, n) * ROUNDING


@given(links, streams, sizes, st.floats(0, 1))
def test_more_loss_never_takes_less_time(link: LinkState, n: int, size: int, loss: float) -> None:
    good, bad = sorted((link, replace(link, loss=loss)), key=lambda state: state.loss)
    assert transfer_ms(size, good, n) <= transfer_ms(size, bad, n) * ROUNDING


@given(links, streams, sizes, st.floats(0.01, 100_000))
def test_a_faster_link_never_takes_longer(link: LinkState, n: int, size: int, rate: float) -> None:
    other = replace(link, bandwidth_available_mbps=rate)
    slow, fast = sorted((link, other), key=lambda state: state.bandwidth_available_mbps)
    assert transfer_ms(size, fast, n) <= transfer_ms(size, slow, n) * ROUNDING


@given(links, st.integers(1, 63), sizes)
def test_one_more_stream_never_takes_longer(link: LinkState, n: int, size: int) -> None:
    more = transfer_ms(size, link, n + 1)
    assert more <= transfer_ms(size, link, n) * ROUNDING


@given(links, streams, sizes)
def test_no_transfer_is_faster_than_the_wire_and_light(link: LinkState, n: int, size: int) -> None:
    wire_ms = size * 8 / 1e3 / (link.bandwidth_available_mbps * PAYLOAD)
    assert transfer_ms(size, link, n) * ROUNDING >= link.rtt_ms / 2 + wire_ms


@given(links, streams)
def test_streams_never_carry_more_than_the_link_has_left(link: LinkState, n: int) -> None:
    assert 0 < rate_mbps(link, n) <= link.bandwidth_available_mbps


@given(links, streams)
def test_a_huge_transfer_goes_at_the_rate_of_its_streams(link: LinkState, n: int) -> None:
    # Many losses or many round trips later, what the beginning was like does not matter.
    size = 1 << 60
    link = replace(link, rtt_ms=max(link.rtt_ms, 1.0), jitter_ms=0.0, loss=max(link.loss, 1e-6))
    rate = size * 8 / 1e3 / transfer_ms(size, link, n)
    longer = link.rtt_ms + PACKET_BYTES * 8 / 1e3 / link.bandwidth_available_mbps
    least = rate_mbps(replace(link, rtt_ms=longer), n) * (1 - link.loss)
    assert least * 0.99 <= rate <= rate_mbps(link, n) * 1.01


def test_a_transfer_that_fits_the_first_window_takes_half_a_round_trip() -> None:
    link = LinkState("wan", 3, 100.0, 0.0, 60.0, 0.0, 0.0)
    assert transfer_ms(0, link, 1) == 30.0
    ten_packets = 10 * PACKET_BYTES * 8 / 100e3
    for control in CongestionControl:
        other = replace(link, congestion_control=control)
        assert transfer_ms(10 * MSS_BYTES, other, 1) == pytest.approx(30.0 + ten_packets)
    with pytest.raises(ValueError, match="0 streams"):
        transfer_ms(1, link, 0)
    with pytest.raises(ValueError, match="-1 bytes"):
        transfer_ms(-1, link, 1)


def test_one_packet_more_than_the_first_window_takes_a_round_trip_more() -> None:
    link = LinkState("wan", 3, 100.0, 0.0, 60.0, 0.0, 0.0)
    one_more = 60.0 + 60.0 / 2 + 2 * PACKET_BYTES * 8 / 100e3
    assert transfer_ms(11 * MSS_BYTES, link, 1) == pytest.approx(one_more)
    # With a second stream there is a second first window.
    assert transfer_ms(11 * MSS_BYTES, link, 2) < 32.0


def test_a_large_transfer_goes_at_the_payload_s_rate() -> None:
    link = LinkState("metro", 2, 80.0, 0.0, 1.0, 0.0, 0.0)
    for control in CongestionControl:
        took = transfer_ms(100_000_000, replace(link, congestion_control=control), 4)
        assert took == pytest.approx(10_000 / PAYLOAD, rel=0.01)


def test_loss_slows_cubic_on_a_long_link_and_streams_help() -> None:
    link = LinkState("wan", 3, 100.0, 0.0, 80.0, 0.0, 0.0)
    lossy = replace(link, loss=5e-3)
    clean, one, four = (
        transfer_ms(8 << 20, link, 1),
        transfer_ms(8 << 20, lossy, 1),
        transfer_ms(8 << 20, lossy, 4),
    )
    assert one > 10 * clean
    assert four < one / 3
    assert transfer_ms(8 << 20, replace(lossy, congestion_control=BBR), 1) < 1.2 * clean


def test_cpu_has_a_price() -> None:
    assert cost(100.0, 50.0, 0.1) == 105.0


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_repeatable_and_stays_in_range(name: str) -> None:
    first, second = Link(link_profile(name), 5), Link(link_profile(name), 5)
    states = [first.step(600.0 * i) for i in range(300)]
    assert states == [second.step(600.0 * i) for i in range(300)]
    for state in states:
        assert state.bandwidth_available_mbps > 0
        assert 0 <= state.bandwidth_utilization <= 100
        assert state.rtt_ms > 0
        assert 0 <= state.loss <= 0.5
    assert len({state.rtt_ms for state in states}) == 300


def test_links_drift_rather_than_jump() -> None:
    link = Link(link_profile("wan"), 3)
    busy = [link.step(60.0 * i).bandwidth_utilization for i in range(500)]
    steps = np.abs([b - a for a, b in pairwise(busy)])
    assert steps.mean() < np.std(busy)


def test_an_unknown_link_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="dc, metro, wan, edge"):
        link_profile("moon")


def test_a_busy_host_stretches_work_but_never_stops_it() -> None:
    assert elapsed_ms(10.0, 0.0) == 10.0
    assert elapsed_ms(10.0, 50.0) == 20.0
    assert elapsed_ms(10.0, 100.0) == pytest.approx(200.0)
    host = Host(1)
    for _ in range(200):
        state = host.step()
        assert 0 <= state.cpu_usage <= 100
        assert state.memory_available_mb > 0
