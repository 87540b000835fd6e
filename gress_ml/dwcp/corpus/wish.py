"""Wish: what is asked of the maker of a source, and what a kind of source is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gress_ml.dwcp.corpus.pool import Pool


@dataclass(frozen=True, slots=True)
class Wish:
    """Successive states of one real thing, of about ``size`` bytes or more, at most ``states``.

    ``pool`` holds the files that may be used, ``rng`` decides by chance.
    """

    pool: Pool
    rng: np.random.Generator
    size: int
    states: int


#: Yields the states in order of time. None at all when the pool lacks what is needed.
Maker = Callable[[Wish], Iterator[bytes]]


def always() -> str:
    """Nothing is missing."""
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of source. ``missing`` says what this machine lacks for it, or nothing."""

    payload_class: str
    name: str
    origin: str  # where the bytes come from, in words
    make: Maker
    missing: Callable[[], str] = always
