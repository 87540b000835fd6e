from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.dwcp.hosts import CORES, Host, elapsed_ms

times = st.floats(0.1, 1e5)
usages = st.floats(0, 100)
cores = st.sampled_from(CORES)


def test_streams_of_known_work() -> None:
    assert elapsed_ms(40.0, 0.0, cores=4, slowest_ms=10.0) == 10.0
    assert elapsed_ms(40.0, 0.0, cores=1, slowest_ms=10.0) == 40.0
    assert elapsed_ms(40.0, 50.0, cores=4, slowest_ms=10.0) == 20.0
    assert elapsed_ms(40.0, 50.0, cores=4) == 40.0  # one stream has a core to itself
    assert elapsed_ms(10.0, 100.0, cores=8) == pytest.approx(200.0)


@given(times, st.floats(0.01, 1.0), usages, cores)
def test_work_takes_no_less_than_its_longest_stream(
    cpu_ms: float, share: float, usage: float, count: int
) -> None:
    assert elapsed_ms(cpu_ms, usage, count, share * cpu_ms) >= share * cpu_ms


@given(times, st.floats(0.01, 1.0), usages)
def test_more_cores_are_never_slower(cpu_ms: float, share: float, usage: float) -> None:
    spent = [elapsed_ms(cpu_ms, usage, count, share * cpu_ms) for count in CORES]
    assert spent == sorted(spent, reverse=True)


def test_a_host_keeps_its_cores() -> None:
    host = Host(3)
    assert {host.step().cores for _ in range(5)} == {host.cores}
    assert {Host(seed).cores for seed in range(50)} == set(CORES)
