"""FeatureState: what a feature set remembers between batches, and its form as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gress_ml.errors import SnapshotError
from gress_ml.features.aggregation import Window, WindowState
from gress_ml.features.spec import Aggregation

#: Layout of the bytes.
VERSION = 1


class FeatureState:
    """The windows of a set's aggregations: a pure function of the rows transformed so far."""

    def __init__(self, aggregations: Iterable[Aggregation]) -> None:
        self._specs = {spec.label: spec for spec in aggregations}
        self.windows = {label: Window(spec) for label, spec in self._specs.items()}

    def snapshot(self) -> bytes:
        """The state as bytes (MessagePack): per aggregation its definition and its values."""
        saved = {
            label: (_definition(self._specs[label]), window.save())
            for label, window in self.windows.items()
        }
        return msgspec.msgpack.encode(saved)

    def restore(self, data: bytes) -> None:
        """Become the state that was saved.

        An aggregation that is new, or that was defined differently, starts empty: its old values
        do not mean the same. Raises SnapshotError for bytes that are not a snapshot.
        """
        try:
            saved = msgspec.msgpack.decode(data, type=dict[str, tuple[str, WindowState]])
            self.windows = self._windows_of(saved)
        except (ValueError, RecursionError) as error:  # msgspec's, of its text, of a window
            raise SnapshotError(f"not a snapshot of feature windows: {error}") from error

    def _windows_of(self, saved: Mapping[str, tuple[str, WindowState]]) -> dict[str, Window]:
        windows = {label: Window(spec) for label, spec in self._specs.items()}
        for label, (definition, state) in saved.items():
            spec = self._specs.get(label)
            if spec is not None and definition == _definition(spec):
                windows[label].load(state)
        return windows


def _definition(spec: Aggregation) -> str:
    return spec.model_dump_json(exclude_defaults=True, exclude={"name", "description", "unit"})
