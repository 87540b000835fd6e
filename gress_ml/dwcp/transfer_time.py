"""How long bytes take on a link: a documented model, no packets are sent.

- Each TCP stream is limited by loss: ``rate <= MSS / RTT * C / sqrt(p)`` with ``C = sqrt(3/2)``
  (Mathis, Semke, Mahdavi, Ott: The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm,
  ACM CCR 27(3), 1997). N streams add up, to at most the bandwidth that is left.
- Streams start with 10 segments (RFC 6928) and double each round trip until they fill their rate.
- Lost segments are sent again: ``bytes / (1 - p)``. The last byte needs half a round trip.
"""

from __future__ import annotations

from math import sqrt

from gress_ml.dwcp.links import LinkState

MSS_BYTES = 1460
INITIAL_WINDOW_BYTES = 10 * MSS_BYTES
MATHIS_C = sqrt(1.5)

#: What a millisecond of CPU costs, in milliseconds of waiting: of two equally fast ways the one
#: that leaves the host its CPU is better.
DEFAULT_CPU_PRICE = 0.1

_LEAST_RTT_MS = 0.01
_LEAST_LOSS = 1e-9


def stream_limit_mbps(rtt_ms: float, loss: float) -> float:
    """The most that one TCP stream carries, in Mbit/s."""
    rtt_s = max(rtt_ms, _LEAST_RTT_MS) / 1000.0
    return MSS_BYTES * 8 / 1e6 / rtt_s * MATHIS_C / sqrt(max(loss, _LEAST_LOSS))


def rate_mbps(link: LinkState, streams: int) -> float:
    """What ``streams`` parallel streams carry together once they are up to speed, in Mbit/s."""
    limit = stream_limit_mbps(link.rtt_ms, link.loss)
    return min(link.bandwidth_available_mbps, streams * limit)


def transfer_ms(size: int, link: LinkState, streams: int) -> float:
    """Milliseconds from the first byte sent to the last byte received."""
    if size < 0 or streams < 1:
        raise ValueError(f"no transfer of {size} bytes on {streams} streams")
    rtt_ms = max(link.rtt_ms, _LEAST_RTT_MS)
    bytes_per_ms = rate_mbps(link, streams) * 1e3 / 8.0
    full_window = bytes_per_ms * rtt_ms
    left = size / (1.0 - link.loss)
    spent_ms = rtt_ms / 2.0
    window = float(INITIAL_WINDOW_BYTES * streams)
    while window < full_window and left > window:
        left -= window
        spent_ms += rtt_ms
        window *= 2.0
    return spent_ms + left / bytes_per_ms


def cost(total_ms: float, cpu_ms: float, cpu_price: float = DEFAULT_CPU_PRICE) -> float:
    """What a transfer costs, in milliseconds: ``total_ms + cpu_price * cpu_ms``; lower is better.

    ``total_ms`` is compress + transfer + decompress.
    """
    return total_ms + cpu_price * cpu_ms
