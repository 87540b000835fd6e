"""Congestion controls: how fast one TCP stream may go under loss, whatever the link's rate.

The agents are assumed to use CUBIC: it is the standard (RFC 9438) and the default of Linux, Windows
and macOS, so it is what a stream gets that asks for nothing. BBR is for hosts that are set so.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf, sqrt

#: Payload of a full packet of 1500 bytes: less IP and TCP headers and the timestamps of RFC 7323.
MSS_BYTES = 1448
PACKET_BYTES = 1500

#: CUBIC's window after a loss, as a share of the one before (RFC 9438, section 4.6).
CUBIC_BETA = 0.7
_CUBIC_C = 0.4  # segments per second cubed, the same, section 4.1
_CUBIC_SCALE: float = (_CUBIC_C * (3.0 + CUBIC_BETA) / (4.0 * (1.0 - CUBIC_BETA))) ** 0.25

#: BBR probes at 1.25 times what it measured; where more than a fifth is lost, that brings nothing,
#: and the rate falls to four packets a round trip (Cardwell, Cheng, Gunn, Yeganeh, Jacobson: BBR,
#: ACM Queue 14(5), 2016).
BBR_MOST_LOSS = 0.2
_BBR_LEAST_WINDOW = 4.0

LEAST_RTT_MS = 0.01
LEAST_LOSS = 1e-9


class CongestionControl(StrEnum):
    """The algorithms, under the names that the kernel has for them."""

    CUBIC = "cubic"
    BBR = "bbr"


DEFAULT_CONTROL = CongestionControl.CUBIC


def steady_window(
    rtt_ms: float, loss: float, control: CongestionControl = DEFAULT_CONTROL
) -> float:
    """The mean congestion window of a long stream, in packets; infinite where loss does not matter.

    CUBIC: ``max(1.054 (RTT / p) ** 0.75, sqrt(3 / 2p))``, RTT in seconds: the response function of
    RFC 9438, section 5.1, and that of its Reno-friendly region.
    """
    loss = max(loss, LEAST_LOSS)
    if control is CongestionControl.BBR:
        return inf if loss < BBR_MOST_LOSS else _BBR_LEAST_WINDOW
    rtt_s = max(rtt_ms, LEAST_RTT_MS) / 1e3
    cubic: float = _CUBIC_SCALE * (rtt_s / loss) ** 0.75
    return max(cubic, sqrt(1.5 / loss))


def stream_limit_mbps(
    rtt_ms: float, loss: float, control: CongestionControl = DEFAULT_CONTROL
) -> float:
    """The most payload that one long TCP stream carries under loss, in Mbit/s."""
    rtt_s = max(rtt_ms, LEAST_RTT_MS) / 1e3
    return steady_window(rtt_ms, loss, control) * MSS_BYTES * 8 / 1e6 / rtt_s
