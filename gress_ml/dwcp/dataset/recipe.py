"""Recipe: how much is measured, of which payloads, and on which links it is labelled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from zlib import crc32

import numpy as np

from gress_ml.dwcp.corpus.wish import Kind
from gress_ml.dwcp.history import DEFAULT_ALPHA
from gress_ml.dwcp.payloads import (
    ARCHIVE,
    BINARY,
    DATABASE,
    LOG,
    MEDIA,
    PAGE,
    SOURCE,
    TEXT,
    VM_DISK,
    VM_MEMORY,
)
from gress_ml.dwcp.profiles import DEFAULT_STREAMS
from gress_ml.dwcp.transfer_time import DEFAULT_CPU_PRICE

#: Share of the sources that each class of payload has: what moves with a virtual machine is most.
SHARES: Mapping[str, float] = MappingProxyType(
    {
        VM_MEMORY: 0.24,
        VM_DISK: 0.14,
        DATABASE: 0.14,
        LOG: 0.10,
        SOURCE: 0.10,
        TEXT: 0.08,
        BINARY: 0.08,
        ARCHIVE: 0.06,
        MEDIA: 0.06,
    }
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which payloads are made and measured. Sizes are log-normal, cut at the bounds."""

    seed: int = 17
    sources: int = 600
    cohorts: int = 20
    pieces: int = 5  # per source
    most_states: int = 12  # of a source
    median_bytes: int = 40 << 10
    sigma: float = 1.7  # of the logarithm of a size
    least_bytes: int = PAGE
    most_bytes: int = 16 << 20
    streams: int = DEFAULT_STREAMS  # of the profile amst
    repeats: int = 3  # of work that is short
    again_share: float = 0.05  # of the payloads that are measured twice, for the noise floor


SMALL = Recipe(
    sources=90, cohorts=10, pieces=3, median_bytes=24 << 10, sigma=1.4, most_bytes=1 << 20
)
FULL = Recipe()


@dataclass(frozen=True, slots=True)
class Labelling:
    """On which links and hosts the measured payloads are moved."""

    rows: int = 100_000  # at least
    seed: int = 17
    objects_per_vm: int = 12
    interval_s: float = 600.0  # between two transfers of a VM
    dual_run_share: float = 0.25  # of past transfers of which all profiles were seen
    alpha: float = DEFAULT_ALPHA
    cpu_price: float = DEFAULT_CPU_PRICE


@dataclass(frozen=True, slots=True)
class Planned:
    """One source that is to be measured."""

    source_id: str
    cohort: int
    kind: Kind
    seed: tuple[int, int]
    sizes: tuple[int, ...]
    states: tuple[int, ...]


def planned(recipe: Recipe, kinds: Mapping[str, Sequence[Kind]]) -> Iterator[Planned]:
    """The sources of a recipe, those of one class in turn of all its kinds."""
    for payload_class, those in kinds.items():
        count = max(recipe.cohorts, round(SHARES[payload_class] * recipe.sources))
        for number in range(count):
            cohort, turn = number % recipe.cohorts, number // recipe.cohorts
            # Kinds are dealt so that each cohort begins with another one.
            kind = those[(turn + cohort) % len(those)]
            source_id = f"{payload_class}-{kind.name}-{cohort:02d}-{turn:02d}"
            seed = (recipe.seed, crc32(source_id.encode()))
            rng = np.random.default_rng((*seed, 2))
            yield Planned(source_id, cohort, kind, seed, _sizes(recipe, rng), _states(recipe, rng))


def _sizes(recipe: Recipe, rng: np.random.Generator) -> tuple[int, ...]:
    found: list[int] = []
    while len(found) < recipe.pieces:
        size = int(rng.lognormal(np.log(recipe.median_bytes), recipe.sigma))
        if recipe.least_bytes <= size <= recipe.most_bytes:
            found.append(size)
    return tuple(found)


def _states(recipe: Recipe, rng: np.random.Generator) -> tuple[int, ...]:
    """Many pieces have few versions, some have many."""
    drawn = 1 + rng.geometric(1.0 / (recipe.most_states / 2.0), recipe.pieces)
    return tuple(np.minimum(drawn, recipe.most_states).tolist())
