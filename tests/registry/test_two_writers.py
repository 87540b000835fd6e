"""Whoever else writes meanwhile, and wherever a writer is cut short: nothing is ever half there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import Place

from gress_ml.errors import ModelError
from gress_ml.registry import Registry, Storage

#: More than any publish or change of an alias takes.
STEPS = 12


class PowerCutError(BaseException):
    """What no code catches."""


class Interrupted:
    """A storage on which something else happens just before the n-th write."""

    def __init__(self, storage: Storage, before: int, happens: Callable[[], object]) -> None:
        self._storage = storage
        self._left = before
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def __str__(self) -> str:
        return str(self._storage)

    def create(self, path: str, data: bytes) -> bool:
        self._step()
        return self._storage.create(path, data)

    def put(self, source: Path, path: str) -> None:
        self._step()
        self._storage.put(source, path)

    def remove(self, path: str) -> None:
        self._step()
        self._storage.remove(path)

    def _step(self) -> None:
        self._left -= 1
        if self._left == -1:
            self._happens()


@pytest.fixture
def others(files: Path, tmp_path: Path) -> Path:
    """Other files than ``files``, of which one has the same name and another is missing."""
    folder = tmp_path / "others"
    shutil.copytree(files, folder)
    (folder / "metadata.json").write_text('{"by": "another"}')
    (folder / "feature_scaler.json").unlink()
    (folder / "neural_network.tflite").unlink()
    return folder


def pushed(registry: Registry, folder: Path, version: str) -> bool:
    try:
        registry.push(folder, "selector", version)
    except ModelError:
        return False
    return True


def test_of_two_publishers_with_different_files_at_most_one_wins_and_wins_whole(
    place: Place, files: Path, others: Path
) -> None:
    plain = place.registry()
    for step in range(STEPS):
        version, won = f"1.{step}.0", []

        def rival(version: str = version, won: list[Path] = won) -> None:
            won += [others] if pushed(plain, others, version) else []

        interrupted = Interrupted(place.storage, step, rival)
        if pushed(place.registry(storage=interrupted), files, version):
            won.append(files)
        assert len(won) <= 1
        if won:
            text = plain.find("selector", version).require("metadata").read_text()
            assert text == (won[0] / "metadata.json").read_text()
    assert plain.verify() == {}


def test_of_two_publishers_with_the_same_files_one_wins(place: Place, files: Path) -> None:
    plain = place.registry()
    for step in range(STEPS):
        version, won = f"1.{step}.0", []

        def rival(version: str = version, won: list[bool] = won) -> None:
            won.append(pushed(plain, files, version))

        interrupted = Interrupted(place.storage, step, rival)
        won.append(pushed(place.registry(storage=interrupted), files, version))
        assert any(won)
        assert plain.find("selector", version).version == version
    assert plain.verify() == {}


def test_a_publish_that_is_cut_short_shows_nothing_and_goes_on_when_repeated(
    place: Place, files: Path
) -> None:
    def cut() -> None:
        raise PowerCutError

    plain = place.registry()
    for step in range(STEPS):
        version = f"1.{step}.0"
        interrupted = Interrupted(place.storage, step, cut)
        try:
            place.registry(storage=interrupted).push(files, "selector", version)
        except PowerCutError:
            there = version in map(str, plain.versions("selector"))
            assert there or pushed(plain, files, version)
        assert plain.find("selector", version).version == version
    assert plain.verify() == {}


def test_a_half_published_version_is_not_taken_over_with_other_files(
    place: Place, files: Path, others: Path
) -> None:
    def cut() -> None:
        raise PowerCutError

    with pytest.raises(PowerCutError):
        place.registry(storage=Interrupted(place.storage, 2, cut)).push(files, "selector", "1.0.0")
    with pytest.raises(ModelError, match=r"being published with other files.*higher version"):
        place.registry().push(others, "selector", "1.0.0")


def test_of_two_that_move_aliases_both_count(place: Place, files: Path) -> None:
    plain = place.registry()
    for version in ("1.0.0", "1.1.0"):
        plain.push(files, "selector", version)
    for step in range(3):
        aliases = {f"a{step}": "1.0.0", f"b{step}": "1.1.0"}

        def rival(step: int = step) -> None:
            plain.alias("selector", f"b{step}", "1.1.0")

        interrupted = Interrupted(place.storage, step, rival)
        place.registry(storage=interrupted).alias("selector", f"a{step}", "1.0.0")
        rival()
        found = {alias: str(version) for alias, version in plain.aliases("selector").items()}
        assert found.items() >= aliases.items()
    assert len(plain.history("selector")) == 6


def test_of_two_that_move_the_same_alias_the_later_counts_and_both_are_told(
    place: Place, files: Path
) -> None:
    plain = place.registry()
    for version in ("1.0.0", "1.1.0"):
        plain.push(files, "selector", version)

    def rival() -> None:
        plain.alias("selector", "champion", "1.1.0")

    interrupted = Interrupted(place.storage, 0, rival)
    place.registry(storage=interrupted).alias("selector", "champion", "1.0.0")
    assert [(c.previous, c.version) for c in plain.history("selector")] == [
        ("", "1.1.0"),
        ("1.1.0", "1.0.0"),
    ]
    assert plain.find("selector").version == "1.0.0"
