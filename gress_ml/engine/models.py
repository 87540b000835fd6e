"""CurrentModels: what each reference of a worker's steps means, the same in all its partitions."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from gress_ml.bundle import Bundle, ModelUse
from gress_ml.ports import ModelStore

#: A model's name and what is said about its version: ``champion``, ``1.2.0``, ``latest``.
Reference = tuple[str, str]


class CurrentModels:
    """A ``ModelStore`` that asks another once per reference; what it means moves by ``adopt``.

    So all partitions of a worker use one version, and one that is opened while the store is away
    uses what the others do. May be used from several threads.
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._current: dict[Reference, Bundle] = {}
        self._lock = threading.Lock()
        self.adoptions = 0  # how often a meaning moved

    def find(self, name: str, reference: str = "champion") -> Bundle:
        """What the reference means in this worker."""
        known = self._current.get((name, reference))
        if known is not None:
            return known
        found = self._store.find(name, reference)
        with self._lock:
            return self._current.setdefault((name, reference), found)

    def open_folder(self, folder: Path) -> Bundle:
        return self._store.open_folder(folder)

    @property
    def names(self) -> frozenset[str]:
        """The models that are in use."""
        return frozenset(name for name, _ in [*self._current])

    def moved(self, name: str) -> Mapping[Reference, Bundle]:
        """What references of a model mean by now, where that is another version.

        Raises ModelError, StoreUnavailable.
        """
        used = [key for key in [*self._current] if key[0] == name]
        found = {key: self._store.find(*key) for key in used}
        return {
            key: bundle
            for key, bundle in found.items()
            if bundle.version != self._current[key].version
        }

    def adopt(self, moved: Mapping[Reference, Bundle]) -> None:
        """From now on these references mean these bundles."""
        with self._lock:
            self._current.update(moved)
            self.adoptions += 1


class Moved:
    """A ``ModelStore`` as it will be once some references have moved."""

    def __init__(self, models: ModelStore, moved: Mapping[Reference, Bundle]) -> None:
        self._models = models
        self._moved = moved

    def find(self, name: str, reference: str = "champion") -> Bundle:
        return self._moved.get((name, reference)) or self._models.find(name, reference)

    def open_folder(self, folder: Path) -> Bundle:
        return self._models.open_folder(folder)


class Noted:
    """A ``ModelStore`` that notes what is asked of it: the models that a step uses."""

    def __init__(self, models: ModelStore) -> None:
        self._models = models
        self._uses: dict[ModelUse, None] = {}

    @property
    def uses(self) -> tuple[ModelUse, ...]:
        return tuple(self._uses)

    def find(self, name: str, reference: str = "champion") -> Bundle:
        bundle = self._models.find(name, reference)
        self._uses[ModelUse(name, reference, bundle.version)] = None
        return bundle

    def open_folder(self, folder: Path) -> Bundle:
        return self._models.open_folder(folder)


def uses_any(uses: Iterable[ModelUse], moved: Mapping[Reference, Bundle]) -> bool:
    """Whether one of the references that moved is in use."""
    return any((use.model, use.reference) in moved for use in uses)
