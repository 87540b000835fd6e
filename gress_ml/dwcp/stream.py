"""Stream: how long one TCP stream takes for a number of packets, from its first to its last.

Times are in ms and count from the first packet sent; sizes are in packets. The ways in which a
stream goes through its life are functions of their own:

- :func:`burst_ms`: slow start of CUBIC without loss. The window begins at 10 packets (RFC 6928) and
  doubles each round trip; a window leaves at once and arrives at the bottleneck's rate.
- :func:`growth_ms`: the same growth without steps, as it is when packets are paced or when it
  does not matter where in its round a packet is.
- :func:`after_loss_ms`: from the first loss on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, expm1, inf, log, log1p, log2, sqrt

from gress_ml.dwcp.congestion import (
    BBR_MOST_LOSS,
    CUBIC_BETA,
    LEAST_LOSS,
    CongestionControl,
    steady_window,
)
from gress_ml.dwcp.fitted import FITTED, Fitted

INITIAL_WINDOW = 10.0  # packets, RFC 6928


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream and its share of the link."""

    rate: float  # packets per ms
    rtt_ms: float  # without the queue that the stream makes itself
    loss: float
    fitted: Fitted = FITTED

    @property
    def full_window(self) -> float:
        """The packets on their way when the stream uses its rate: the bandwidth-delay product."""
        return self.rate * self.rtt_ms

    @property
    def first_loss(self) -> float:
        """The packet by which half of all streams have had their first loss: ``ln 2 / p``."""
        return log(2.0) / self.loss if self.loss > LEAST_LOSS else inf


def stream_ms(stream: Stream, packets: float, control: CongestionControl) -> float:
    """When the last packet has passed the bottleneck: the median of many transfers.

    Never less for one packet more, a longer round trip, a lower rate or more loss.
    """
    if control is CongestionControl.BBR:
        return _bbr_ms(stream, packets)
    return _cubic_ms(stream, packets)


def burst_ms(stream: Stream, packets: float) -> float:
    """Slow start in rounds, until the window fills the link; from then on at the link's rate."""
    window, start_ms, sent = INITIAL_WINDOW, 0.0, 0.0
    while window < stream.full_window and sent + window < packets:
        sent += window
        start_ms += stream.rtt_ms
        window *= 2.0
    return start_ms + (packets - sent) / stream.rate


def growth_ms(stream: Stream, packets: float, start: float, ahead: float) -> float:
    """Doubling smoothly, ``start * 2 ** (t / RTT) - ahead`` packets by ``t``, up to the rate."""
    full = max(stream.full_window / log(2.0), start) - ahead
    slow = min(packets, full)
    doublings = max(0.0, log2((slow + ahead) / start))
    return stream.rtt_ms * doublings + (packets - slow) / stream.rate


def after_loss_ms(stream: Stream, packets: float, window: float, steady: float) -> float:
    """From a loss on: the window goes from ``window`` to the ``steady`` one as losses recur.

    Additive increase, and ``beta`` times the window with each loss, seen as a flow, give
    ``w(y) ** 2 = s ** 2 + (w0 ** 2 - s ** 2) beta ** (2 p y)`` after ``y`` packets: what the model
    of Mathis, Semke, Mahdavi, Ott (ACM CCR 27(3), 1997) is before it has settled. The time is the
    integral of ``RTT / w``, and of ``1 / rate`` where the window is more than the link holds.
    """
    decay = -2.0 * log(CUBIC_BETA) * stream.loss
    full, settled = stream.full_window, steady**2
    spent_ms = 0.0
    if window >= full:
        crossing = _packets_until(full, window, steady, decay)
        if crossing >= packets:
            return packets / stream.rate
        spent_ms, packets, window = crossing / stream.rate, packets - crossing, full
    elif steady > full:
        crossing = _packets_until(full, window, steady, decay)
        if crossing < packets:
            spent_ms, packets = (packets - crossing) / stream.rate, crossing
    change = (window**2 - settled) * expm1(-decay * packets)
    last = sqrt(settled + (window**2 - settled) * exp(-decay * packets))
    bend = log1p(change / (last + window) / (window + steady))
    return spent_ms + stream.rtt_ms / steady * (packets + 2.0 / decay * bend)


def _packets_until(target: float, window: float, steady: float, decay: float) -> float:
    """Packets until the window is ``target``, which lies on its way; infinite where it does not."""
    if window >= target and steady >= target:
        return inf
    return log((window**2 - steady**2) / (target**2 - steady**2)) / decay


def _cubic_ms(stream: Stream, packets: float) -> float:
    burst = burst_ms(stream, packets)
    lost = stream.first_loss
    if packets <= lost:
        return burst
    # When the loss is noticed, a round trip later, as much again has been sent.
    noticed = 2.0 * lost + INITIAL_WINDOW
    spent = growth_ms(stream, min(packets, noticed), INITIAL_WINDOW, INITIAL_WINDOW)
    if packets > noticed:
        largest = stream.fitted.cubic_full * stream.full_window
        window = CUBIC_BETA * min(lost + INITIAL_WINDOW, largest)
        steady = steady_window(stream.rtt_ms, stream.loss)
        spent += after_loss_ms(stream, packets - noticed, window, steady)
    return max(burst, spent)


def _bbr_ms(stream: Stream, packets: float) -> float:
    grown = burst_ms(stream, packets)
    if packets > INITIAL_WINDOW:  # the first window is not paced
        grown = max(grown, growth_ms(stream, packets, stream.fitted.bbr_start, 0.0))
    if stream.loss < BBR_MOST_LOSS:
        return grown
    window = steady_window(stream.rtt_ms, stream.loss, CongestionControl.BBR)
    return max(grown, packets * stream.rtt_ms / window)
