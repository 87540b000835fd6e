"""Noise: how far a label is one of the transfer, and how far of the moment it was measured in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log, nan
from typing import Any

import numpy as np

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.transfers import Arm


def spread(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """How far the second of two measured times is from the first: ``|ln(second / first)|``.

    Half of the pairs differ by no more than ``median``, nine of ten by no more than ``p90``. Pairs
    with a time of 0 are left out; no pairs at all give NaN.
    """
    found = [abs(log(second / first)) for first, second in pairs if first > 0 and second > 0]
    halves = np.quantile(found, [0.5, 0.9]).tolist() if found else [nan, nan]
    return dict(zip(("median", "p90"), halves, strict=True))


@dataclass(slots=True)
class _Tally:
    transfers: int = 0
    changed: int = 0
    cost: float = 0.0  # of the first measurement's label, in the second one's costs
    best: float = 0.0  # of the second one's label
    shares: float = 0.0  # sum of what the first label costs above the best, each by its best


@dataclass(slots=True)
class Noise:
    """Transfers of payloads that were measured twice: both times the same link and host."""

    _tallies: dict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def add(self, link_type: str, first: Mapping[str, Arm], second: Mapping[str, Arm]) -> None:
        """Label by the first measurement, judge by the second."""
        chosen = min(ALGORITHMS, key=lambda name: first[name].cost)
        best = min(ALGORITHMS, key=lambda name: second[name].cost)
        for name in (link_type, "all"):
            tally = self._tallies[name]
            tally.transfers += 1
            tally.changed += chosen != best
            tally.cost += second[chosen].cost
            tally.best += second[best].cost
            tally.shares += second[chosen].cost / second[best].cost - 1.0

    def summary(self) -> dict[str, dict[str, Any]]:
        """Per kind of link and over all: transfers, share of labels that change, regret.

        ``regret`` is of the sum of costs, ``mean_regret`` the mean over transfers.
        """
        return {
            name: {
                "transfers": tally.transfers,
                "labels_changed": tally.changed / tally.transfers,
                "regret": tally.cost / tally.best - 1.0,
                "mean_regret": tally.shares / tally.transfers,
            }
            for name, tally in sorted(self._tallies.items())
        }
