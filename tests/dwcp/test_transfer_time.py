from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.dwcp.hosts import Host, elapsed_ms
from gress_ml.dwcp.links import LINKS, Link, LinkState, link_profile
from gress_ml.dwcp.transfer_time import cost, rate_mbps, stream_limit_mbps, transfer_ms

links = st.builds(
    LinkState,
    link_type=st.just("wan"),
    tier=st.just(1),
    bandwidth_available_mbps=st.floats(0.01, 100_000),
    bandwidth_utilization=st.just(0.0),
    rtt_ms=st.floats(0, 1000),
    jitter_ms=st.just(0.0),
    loss=st.floats(0, 0.5),
)
streams = st.integers(1, 64)
ROUNDING = 1 + 1e-9


@given(links, streams, st.integers(0, 1 << 30), st.integers(0, 1 << 30))
def test_more_bytes_never_take_less_time(link: LinkState, n: int, a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert transfer_ms(small, link, n) <= transfer_ms(large, link, n) * ROUNDING


@given(links, streams, st.integers(0, 1 << 30), st.floats(0, 1000))
def test_a_longer_round_trip_never_takes_less_time(
    link: LinkState, n: int, size: int, rtt_ms: float
) -> None:
    near, far = sorted((link, replace(link, rtt_ms=rtt_ms)), key=lambda state: state.rtt_ms)
    assert transfer_ms(size, near, n) <= transfer_ms(size, far, n) * ROUNDING


@given(links, st.integers(1, 63), st.integers(0, 1 << 30))
def test_one_more_stream_never_takes_longer(link: LinkState, n: int, size: int) -> None:
    assert transfer_ms(size, link, n + 1) <= transfer_ms(size, link, n) * ROUNDING


@given(links, streams)
def test_streams_never_carry_more_than_the_link_has_left(link: LinkState, n: int) -> None:
    assert 0 < rate_mbps(link, n) <= link.bandwidth_available_mbps


def test_the_limit_of_a_stream_is_that_of_the_paper() -> None:
    # MSS/RTT * C/sqrt(p) = 1460 B / 0.1 s * 1.2247 / 0.01 = 1.788 MB/s
    assert stream_limit_mbps(100.0, 1e-4) == pytest.approx(14.304, rel=1e-3)


def test_an_empty_transfer_takes_half_a_round_trip() -> None:
    link = LinkState("wan", 3, 100.0, 0.0, 60.0, 0.0, 0.0)
    assert transfer_ms(0, link, 1) == 30.0
    with pytest.raises(ValueError, match="0 streams"):
        transfer_ms(1, link, 0)


def test_a_large_transfer_goes_at_the_rate() -> None:
    link = LinkState("metro", 2, 80.0, 0.0, 1.0, 0.0, 0.0)
    assert transfer_ms(100_000_000, link, 4) == pytest.approx(10_000, rel=0.01)


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
