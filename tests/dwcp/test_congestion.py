from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.dwcp.congestion import CongestionControl, steady_window, stream_limit_mbps
from gress_ml.dwcp.links import LINKS

CUBIC, BBR = CongestionControl.CUBIC, CongestionControl.BBR


@pytest.mark.parametrize(
    ("rtt_ms", "loss", "window"),
    [
        (100.0, 1e-2, 12.25),  # Reno-friendly: sqrt(1.5 / p)
        (100.0, 1e-4, 187.4),  # 1.054 (0.1 / 1e-4) ** 0.75
        (100.0, 1e-6, 5926.0),
        (10.0, 1e-3, 38.7),  # a short link: Reno-friendly
    ],
)
def test_cubic_s_window_is_that_of_the_rfc(rtt_ms: float, loss: float, window: float) -> None:
    assert steady_window(rtt_ms, loss) == pytest.approx(window, rel=2e-3)


def test_the_limit_of_a_stream_is_its_window_each_round_trip() -> None:
    # 187.4 packets of 1448 bytes each 0.1 s
    assert stream_limit_mbps(100.0, 1e-4) == pytest.approx(187.4 * 1448 * 8 / 1e5, rel=1e-3)


def test_bbr_does_not_mind_loss_until_a_fifth_is_lost() -> None:
    assert steady_window(50.0, 0.19, BBR) == inf
    assert steady_window(50.0, 0.2, BBR) == 4.0


@given(st.floats(0, 1000), st.floats(0, 1), st.floats(0, 1000), st.floats(0, 1))
def test_more_loss_or_a_longer_way_never_raise_the_limit(
    rtt_ms: float, loss: float, more_ms: float, more_loss: float
) -> None:
    for control in CongestionControl:
        best = stream_limit_mbps(rtt_ms, loss, control)
        assert stream_limit_mbps(rtt_ms, min(1.0, loss + more_loss), control) <= best
        assert stream_limit_mbps(rtt_ms + more_ms, loss, control) <= best * (1 + 1e-9)


def test_agents_are_assumed_to_use_the_standard() -> None:
    assert {kind.congestion_control for kind in LINKS.values()} == {CUBIC}
