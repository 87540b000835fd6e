"""Fitted: the numbers of the link model that no source gives; all others come from one.

They are fitted to measured transfers, on half of the grid that ``python -m benchmarks.links``
measures; its report shows what each is worth, and how far the other half is off.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fitted:
    """Three numbers."""

    #: CUBIC's largest window, in bandwidth-delay products: what a link and a queue of the same size
    #: hold.
    cubic_full: float = 2.0
    #: BBR's growth after its first window, which is paced, is as if it had begun with so many
    #: packets.
    bbr_start: float = 8.0
    #: A packet that follows others closely waits for those that jitter delays, for packets keep
    #: their order; so this share of the jitter adds to a round trip.
    jitter_share: float = 0.7


FITTED = Fitted()
