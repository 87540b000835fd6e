"""Emulator: one direction of a link as a sans-io object; the caller owns the clock and the packets.

A packet that is offered is lost by chance, or dropped because the queue before the bottleneck is
full, or else leaves the bottleneck after what is ahead of it, and arrives a propagation delay
later. Packets never overtake each other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What one direction of a link is like. Raises ValueError for what cannot be."""

    delay_ms: float  # propagation, one way
    rate_mbps: float  # of IP packets, headers included
    queue_bytes: int  # before the bottleneck, the packet being sent included
    loss: float = 0.0  # chance of each packet
    jitter_ms: float = 0.0  # added delay, uniform from zero to twice this

    def __post_init__(self) -> None:
        if not self.rate_mbps > 0 or self.queue_bytes <= 0:
            raise ValueError(f"a link needs a rate and a queue above zero, not {self}")
        if self.delay_ms < 0 or self.jitter_ms < 0 or not 0 <= self.loss <= 1:
            raise ValueError(f"delay and jitter are at least 0 and loss within 0–1, not {self}")


@dataclass(slots=True)
class Counts:
    """What became of the packets so far."""

    offered: int = 0
    lost: int = 0  # by chance
    overflowed: int = 0  # the queue was full
    delivered: int = 0


@dataclass(slots=True)
class Emulator:
    """One direction. The same seed, packets and times give the same fate to each packet.

    Times are integer nanoseconds of a clock that never goes back.
    """

    shape: Shape
    seed: int
    counts: Counts = field(default_factory=Counts)
    _chance: Random = field(init=False)
    _under_way: deque[tuple[int, bytes]] = field(init=False, default_factory=deque)
    _free_at_ns: int = field(init=False, default=0)  # when the bottleneck has sent all it has
    _last_ns: int = field(init=False, default=0)  # when the latest packet arrives

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)

    def offer(self, packet: bytes, now_ns: int) -> bool:
        """Take a packet in; False where it is lost or dropped."""
        shape, counts = self.shape, self.counts
        counts.offered += 1
        if shape.loss and self._chance.random() < shape.loss:
            counts.lost += 1
            return False
        start_ns = max(now_ns, self._free_at_ns)
        backlog = (start_ns - now_ns) * shape.rate_mbps / 8e3
        if backlog + len(packet) > shape.queue_bytes:
            counts.overflowed += 1
            return False
        self._free_at_ns = start_ns + round(len(packet) * 8e3 / shape.rate_mbps)
        delay_ms = shape.delay_ms
        if shape.jitter_ms:
            delay_ms += self._chance.uniform(0.0, 2.0 * shape.jitter_ms)
        due_ns = max(self._free_at_ns + round(delay_ms * _NS_PER_MS), self._last_ns)
        self._last_ns = due_ns
        self._under_way.append((due_ns, packet))
        return True

    def next_ns(self) -> int | None:
        """When the next packet arrives; None when none is under way."""
        return self._under_way[0][0] if self._under_way else None

    def take(self, now_ns: int) -> tuple[int, bytes] | None:
        """The next packet that has arrived by now, with the time when it did; None for none."""
        if not self._under_way or self._under_way[0][0] > now_ns:
            return None
        self.counts.delivered += 1
        return self._under_way.popleft()
