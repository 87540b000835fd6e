"""Predictor: a bundle ready to answer. Loaded once per process and shared by its partitions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import numpy.typing as npt

from gress_ml.bundle import Bundle
from gress_ml.inference.build import Options, build
from gress_ml.inference.graph import Array, Tensor, blank
from gress_ml.schema import FeatureVector

Float32 = npt.NDArray[np.float32]


class Predictor(Protocol):
    """Rows in, probabilities or values out. Safe to call from several threads.

    ``predict(a + b)`` equals ``predict(a)`` followed by ``predict(b)``, bit for bit.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the probability columns; empty when the answer is a value."""
        ...

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What ``predict`` takes, in order."""
        ...

    @property
    def accepts_missing(self) -> bool:
        """Whether NaN in a feature has a meaning for this model: it does for trees alone."""
        ...

    @property
    def vector(self) -> FeatureVector | None:
        """The features that the model learned, where its file says so."""
        ...

    def predict(self, *arrays: Array) -> Float32:
        """Float32 of shape (n, classes), or (n, 1) without classes. Raises ModelError."""
        ...


_loaded: WeakValueDictionary[tuple[Path, str, Options], Predictor] = WeakValueDictionary()
_loading = threading.Lock()


def load_predictor(bundle: Bundle, options: Options | None = None) -> Predictor:
    """The predictor of a bundle; the same object while anyone holds it. Raises ModelCorrupt."""
    options = options or Options()
    digest = hashlib.sha256(bundle.manifest.model_dump_json().encode()).hexdigest()
    key = (bundle.folder.resolve(), digest, options)
    with _loading:
        predictor = _loaded.get(key)
        if predictor is None:
            predictor = _loaded[key] = build(bundle, options)
        return predictor


_warmed: WeakKeyDictionary[Predictor, set[int]] = WeakKeyDictionary()


def warm_up(predictor: Predictor, sizes: Sequence[int]) -> None:
    """Call with each batch size in use, so that the first event pays for nothing.

    Once per predictor: the partitions that share it would only wait for each other.
    """
    done = _warmed.setdefault(predictor, set())
    for size in sizes:
        if size in done:
            continue
        arrays = [blank(tensor, size) for tensor in predictor.inputs]
        for _ in range(2):
            predictor.predict(*arrays)
        done.add(size)
