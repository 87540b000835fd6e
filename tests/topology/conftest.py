"""A model store with one model, and a way to check a text as a topology file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gress_ml import ConfigError, Finding, ModelNotFound
from gress_ml.bundle import Bundle, Manifest
from gress_ml.ports import ModelStore
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

HERE = Path(__file__).parent


class Shelf:
    """Holds the model `fraud`, trained on amount and fee."""

    def find(self, name: str, reference: str = "champion") -> Bundle:
        if name != "fraud":
            raise ModelNotFound(f"no model {name!r}: there is 'fraud'")
        if reference not in ("champion", "1.0.0"):
            raise ModelNotFound(f"model {name!r} has no version or alias {reference!r}")
        fingerprint = "amount-fee"
        return Bundle(
            Path(), Manifest(name=name, version="1.0.0", files={}, feature_fingerprint=fingerprint)
        )

    def open_folder(self, folder: Path) -> Bundle:
        raise ModelNotFound(f"no bundle in {folder}")


@pytest.fixture
def shelf() -> ModelStore:
    return Shelf()


Check = Callable[..., list[Finding]]
Load = Callable[..., Topology]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a text as a topology file of a project with the tests' operators."""
    (tmp_path / "topologies").mkdir()
    (tmp_path / "operators").symlink_to(HERE / "operators")

    def run(text: str, environment: Mapping[str, str] | None = None) -> Topology:
        file = tmp_path / "topologies" / "topology.yaml"
        file.write_text(text)
        return load_topology(file, Shelf(), environment or {})

    return run


@pytest.fixture
def check(load: Load) -> Check:
    """The findings of a text; none when it is a valid topology."""

    def run(text: str, environment: Mapping[str, str] | None = None) -> list[Finding]:
        try:
            load(text, environment)
        except ConfigError as error:
            return [*error.findings]
        return []

    return run


@pytest.fixture
def valid() -> str:
    return (HERE / "valid.yaml").read_text()
