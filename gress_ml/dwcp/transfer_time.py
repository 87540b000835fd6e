"""How long bytes take on a link: a documented model, no packets are sent.

What it is made of, and where each part comes from, is in ``congestion`` (what loss allows) and
``stream`` (slow start, and from the first loss on). Here they meet the link:

- The bandwidth that others leave is shared evenly by the streams, and so are the bytes: each stream
  takes the next chunk when it has room. So N streams begin with N initial windows, meet a loss each
  less often, and are up to N times as fast where loss is the limit; they are never faster than the
  link.
- A packet of 1500 bytes carries 1448; lost packets are sent again: ``bytes / (1 - p)``.
- The connection is open: an agent keeps one for a session. A new one takes one round trip more.
- The last byte needs half a round trip to arrive.

``python -m benchmarks.links`` holds the model against kernel TCP; docs/link-model.md has the table.
"""

from __future__ import annotations

from gress_ml.dwcp.congestion import (
    LEAST_RTT_MS,
    MSS_BYTES,
    PACKET_BYTES,
    stream_limit_mbps,
)
from gress_ml.dwcp.fitted import FITTED, Fitted
from gress_ml.dwcp.links import LinkState
from gress_ml.dwcp.stream import Stream, stream_ms

#: What a millisecond of CPU costs, in milliseconds of waiting: of two equally fast ways the one
#: that leaves the host its CPU is better.
DEFAULT_CPU_PRICE = 0.1

_MOST_LOSS = 0.9  # a link that loses more is as good as down


def rate_mbps(link: LinkState, streams: int) -> float:
    """The payload that ``streams`` streams carry together once up to speed, in Mbit/s."""
    payload = link.bandwidth_available_mbps * MSS_BYTES / PACKET_BYTES
    limit = stream_limit_mbps(link.rtt_ms, link.loss, link.congestion_control)
    return min(payload, streams * limit)


def transfer_ms(size: int, link: LinkState, streams: int, fitted: Fitted = FITTED) -> float:
    """Milliseconds from the first byte sent to the last byte received, in the median.

    Raises ValueError for a negative size or less than one stream.
    """
    if size < 0 or streams < 1:
        raise ValueError(f"no transfer of {size} bytes on {streams} streams")
    rtt_ms = max(link.rtt_ms, LEAST_RTT_MS)
    rate = link.bandwidth_available_mbps * 1e3 / 8.0 / PACKET_BYTES
    loss = min(link.loss, _MOST_LOSS)
    stream = Stream(
        rate=rate / streams,
        # An acknowledgement cannot leave before its packet is there as a whole.
        rtt_ms=rtt_ms + 1.0 / rate + fitted.jitter_share * link.jitter_ms,
        loss=loss,
        fitted=fitted,
    )
    packets = size / MSS_BYTES / streams / (1.0 - loss)
    return rtt_ms / 2.0 + stream_ms(stream, packets, link.congestion_control)


def cost(total_ms: float, cpu_ms: float, cpu_price: float = DEFAULT_CPU_PRICE) -> float:
    """What a transfer costs, in milliseconds: ``total_ms + cpu_price * cpu_ms``; lower is better.

    ``total_ms`` is compress + transfer + decompress.
    """
    return total_ms + cpu_price * cpu_ms
