"""Links: four kinds of network path and how each changes over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, pi, sin
from types import MappingProxyType

import numpy as np

from gress_ml.dwcp.congestion import DEFAULT_CONTROL, CongestionControl
from gress_ml.dwcp.episodes import Episodes, Trouble
from gress_ml.dwcp.events import MIN_MBPS
from gress_ml.dwcp.wander import Wander

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProfile:
    """A kind of link: its typical figures, and how far they swing."""

    name: str
    tier: int
    capacity_mbps: float
    rtt_ms: float
    jitter_ms: float
    loss: float  # fraction of packets
    utilization: float  # percent that others use, on average
    daily_swing: float  # percent, added and taken away over a day
    wander: float  # percent, standard deviation of the rest
    cross_traffic: Trouble  # adds percent of utilisation
    lossy: Trouble  # multiplies the loss
    congestion_control: CongestionControl = DEFAULT_CONTROL  # of the agents at its ends


#: Orders of magnitude of common paths: inside a data centre, across a city, across a continent,
#: and the last mile to an edge site. They are assumptions, as are how often troubles come; what a
#: transfer takes under them is measured.
LINKS: Mapping[str, LinkProfile] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            LinkProfile(
                name="dc",
                tier=1,
                capacity_mbps=10_000.0,
                rtt_ms=0.15,
                jitter_ms=0.01,
                loss=1e-6,
                utilization=30.0,
                daily_swing=10.0,
                wander=10.0,
                cross_traffic=Trouble(share=0.05, mean_s=5.0, strength=40.0),
                lossy=Trouble(share=0.005, mean_s=5.0, strength=100.0),
            ),
            LinkProfile(
                name="metro",
                tier=2,
                capacity_mbps=1_000.0,
                rtt_ms=4.0,
                jitter_ms=0.3,
                loss=1e-5,
                utilization=35.0,
                daily_swing=15.0,
                wander=12.0,
                cross_traffic=Trouble(share=0.05, mean_s=20.0, strength=30.0),
                lossy=Trouble(share=0.01, mean_s=10.0, strength=30.0),
            ),
            LinkProfile(
                name="wan",
                tier=3,
                capacity_mbps=200.0,
                rtt_ms=60.0,
                jitter_ms=4.0,
                loss=2e-4,
                utilization=40.0,
                daily_swing=20.0,
                wander=12.0,
                cross_traffic=Trouble(share=0.06, mean_s=30.0, strength=25.0),
                lossy=Trouble(share=0.03, mean_s=20.0, strength=10.0),
            ),
            LinkProfile(
                name="edge",
                tier=3,
                capacity_mbps=20.0,
                rtt_ms=45.0,
                jitter_ms=12.0,
                loss=5e-3,
                utilization=40.0,
                daily_swing=20.0,
                wander=15.0,
                cross_traffic=Trouble(share=0.08, mean_s=30.0, strength=25.0),
                lossy=Trouble(share=0.05, mean_s=10.0, strength=4.0),
            ),
        )
    }
)


#: Regions that simulated VMs are in.
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-south-1")


@dataclass(frozen=True, slots=True)
class LinkState:
    """A link at one moment, as an agent measures it."""

    link_type: str
    tier: int
    bandwidth_available_mbps: float  # what others leave
    bandwidth_utilization: float  # percent
    rtt_ms: float
    jitter_ms: float
    loss: float
    congestion_control: CongestionControl = DEFAULT_CONTROL  # of the agents at its ends


def link_profile(name: str) -> LinkProfile:
    """The profile of that name. Raises ValueError that lists the names."""
    try:
        return LINKS[name]
    except KeyError:
        raise ValueError(f"no link {name!r}: there are {', '.join(LINKS)}") from None


@dataclass(slots=True)
class Link:
    """One link over time: utilisation follows the day and wanders, delay and loss follow it.

    Now and then others send much, or more packets are lost. Seeded: two links of the same profile
    and seed go through the same states, asked at the same times.
    """

    profile: LinkProfile
    seed: int
    _rng: np.random.Generator = field(init=False)
    _busy: Wander = field(init=False)
    _cross_traffic: Episodes = field(init=False)
    _lossy: Episodes = field(init=False)
    _size: float = field(init=False)
    _phase: float = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng((self.seed, 2))
        self._busy = Wander(self._rng, 0.0, self.profile.wander)
        self._cross_traffic = Episodes(self._rng, self.profile.cross_traffic)
        self._lossy = Episodes(self._rng, self.profile.lossy)
        # No two paths of a kind are alike: capacity within a factor of about two.
        self._size = exp(float(self._rng.normal(0.0, 0.35)))
        self._phase = float(self._rng.uniform(0.0, 2.0 * pi))

    def step(self, time_s: float) -> LinkState:
        """The next state, at ``time_s`` seconds since the epoch."""
        kind = self.profile
        day = kind.daily_swing * sin(2.0 * pi * time_s / _DAY_S + self._phase)
        load = kind.utilization + day + self._busy.step()
        load += kind.cross_traffic.strength * self._cross_traffic.at(time_s)
        busy = float(np.clip(load, 1.0, 97.0))
        queue = exp(2.0 * (busy - kind.utilization) / 100.0)  # a busy link has longer queues
        worse = kind.lossy.strength if self._lossy.at(time_s) else 1.0
        shake = np.exp(self._rng.normal(0.0, [0.05, 0.3, 0.5]))
        return LinkState(
            link_type=kind.name,
            tier=kind.tier,
            bandwidth_available_mbps=max(
                MIN_MBPS, kind.capacity_mbps * self._size * (1.0 - busy / 100.0)
            ),
            bandwidth_utilization=busy,
            rtt_ms=kind.rtt_ms * queue * float(shake[0]),
            jitter_ms=kind.jitter_ms * queue * float(shake[1]),
            loss=min(0.5, kind.loss * worse * queue * float(shake[2])),
            congestion_control=kind.congestion_control,
        )
