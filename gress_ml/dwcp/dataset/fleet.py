"""Fleet: which VM moves which object when, over which link; drawn, not measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from gress_ml.dwcp.dataset.recipe import Labelling
from gress_ml.dwcp.links import LINKS

#: 2026-01-05T00:00:00Z, a Monday: when the first transfer may begin.
START_MS = 1_767_571_200_000

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Vm:
    """One virtual machine: its kind of link and the versions that it sends, with their times."""

    number: int
    cohort: int
    link_type: str
    sends: tuple[tuple[float, str], ...]  # seconds since the epoch, payload id


def fleet(objects: Mapping[int, Mapping[str, Sequence[str]]], labelling: Labelling) -> Iterator[Vm]:
    """The VMs of all cohorts. ``objects``: per cohort, per object, payload ids in their order.

    Each object is with several VMs, as many on each kind of link, so that there are at least as
    many transfers as wanted. A VM sends the versions of its objects in their order, now of one, now
    of another. Cohorts follow one another in time.
    """
    payloads = sum(len(ids) for those in objects.values() for ids in those.values())
    rounds = ceil(labelling.rows / max(1, payloads) / len(LINKS))
    start_s, number = START_MS / 1e3, 0
    for cohort, those in sorted(objects.items()):
        latest = start_s
        rng = np.random.default_rng((labelling.seed, cohort, 3))
        for link_type in list(LINKS) * rounds:
            names = [list(those)[at] for at in rng.permutation(len(those)).tolist()]
            for at in range(0, len(names), labelling.objects_per_vm):
                held = {name: those[name] for name in names[at : at + labelling.objects_per_vm]}
                sends = tuple(_sends(held, start_s, labelling.interval_s, rng))
                yield Vm(number, cohort, link_type, sends)
                number, latest = number + 1, max(latest, sends[-1][0])
        start_s += _DAY_S * ceil((latest - start_s) / _DAY_S)


def _sends(
    held: Mapping[str, Sequence[str]], start_s: float, interval_s: float, rng: np.random.Generator
) -> Iterator[tuple[float, str]]:
    turns = [name for name, versions in held.items() for _ in versions]
    sent: dict[str, int] = defaultdict(int)
    for number, at in enumerate(rng.permutation(len(turns)).tolist()):
        name = turns[at]
        yield start_s + interval_s * (number + float(rng.random())), held[name][sent[name]]
        sent[name] += 1
