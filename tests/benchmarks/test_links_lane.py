"""Transfers over real kernel TCP between two namespaces. Durations are not judged from above."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.links.emulator import Shape
from benchmarks.links.lane import Lane
from benchmarks.links.namespaces import NoNamespacesError, enter, require_namespaces

CONTROLS = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
FORTH = Shape(delay_ms=5.0, rate_mbps=20.0, queue_bytes=96_000)
BACK = Shape(delay_ms=5.0, rate_mbps=20.0, queue_bytes=1 << 20)


@pytest.fixture(scope="module")
def namespaces() -> None:
    try:
        require_namespaces()
    except NoNamespacesError as error:
        pytest.skip(f"no network namespaces here: {error}")


@pytest.fixture(scope="module")
def lane(namespaces: None) -> Iterator[Lane]:
    with Lane() as lane:
        yield lane


@pytest.mark.parametrize("control", ["cubic", "bbr"])
@pytest.mark.parametrize("streams", [1, 4])
def test_bytes_arrive_and_take_at_least_what_physics_asks(
    lane: Lane, control: str, streams: int
) -> None:
    if control not in CONTROLS.read_text().split():
        pytest.skip(f"this kernel has no {control}")
    seen = lane.transfer(FORTH, BACK, 200_000, streams, control, seed=1)
    assert seen.transfer_ms >= 5.0 + 200_000 * 8 / 20e3  # propagation, and bits at 20 Mbit/s
    assert seen.connect_ms >= 10.0
    assert seen.forth.offered >= 200_000 / 1448
    assert seen.forth.delivered <= seen.forth.offered


def test_lost_packets_are_sent_again(lane: Lane) -> None:
    lossy = Shape(delay_ms=1.0, rate_mbps=50.0, queue_bytes=96_000, loss=0.05)
    seen = lane.transfer(lossy, BACK, 300_000, 1, "cubic", seed=3)
    assert seen.forth.lost > 0
    assert seen.forth.delivered * 1448 >= 300_000


def test_nothing_of_a_lane_is_left(namespaces: None) -> None:
    policy, descriptors = os.sched_getscheduler(0), len(os.listdir("/proc/self/fd"))
    own = os.readlink("/proc/self/ns/net")
    with Lane() as lane:
        ends = [end._process for end in lane._ends]
        theirs = {os.readlink(f"/proc/{end.pid}/ns/net") for end in ends}
        assert len(theirs | {own}) == 3
    assert all(end.poll() is not None for end in ends)
    assert os.readlink("/proc/self/ns/net") == own
    assert os.sched_getscheduler(0) == policy
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_run_that_is_killed_takes_its_endpoints_along(namespaces: None) -> None:
    code = (
        "import time\n"
        "from benchmarks.links.lane import Lane\n"
        "with Lane() as lane:\n"
        "    print(*(end._process.pid for end in lane._ends), flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        ends = [psutil.Process(int(pid)) for pid in run.stdout.readline().split()]
        run.kill()
    assert len(ends) == 2
    _, alive = psutil.wait_procs(ends, timeout=120)
    assert not alive


def test_a_machine_without_namespaces_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.links.namespaces.shutil.which", lambda *_, **__: None)
    with pytest.raises(NoNamespacesError, match="install iproute2"):
        enter("10.0.0.1", "10.0.0.2")
