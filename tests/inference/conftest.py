"""Bundles and graphs that the tests load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gress_ml.bundle import Bundle
from gress_ml.registry import Registry

DATA = Path(__file__).parent.parent / "data"
MODELS = DATA / "models"
GRAPHS = DATA / "graphs"


@pytest.fixture
def rows() -> npt.NDArray[np.float32]:
    """300 rows of the tiny selector's four features, in their ranges."""
    random = np.random.default_rng(11)
    return random.uniform((0, 10, 1, 0), (100, 1000, 20, 100), (300, 4)).astype(np.float32)


@pytest.fixture
def bundle() -> Callable[[str], Bundle]:
    """A committed bundle by name."""
    return lambda name: Registry(MODELS).find(name)
