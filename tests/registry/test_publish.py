"""A publish that is killed leaves nothing; a reader never sees half a bundle."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from gress_ml.atomic import create_file, new_folder, replace_file
from gress_ml.errors import ModelError, ModelNotFound
from gress_ml.registry import Registry

PUSH_FOREVER = """
import sys
from pathlib import Path
from gress_ml.registry import Registry
registry = Registry(Path(sys.argv[1]))
print("ready", flush=True)
for minor in range(int(sys.argv[3]), 100000):
    registry.push(Path(sys.argv[2]), "selector", f"1.{minor}.0")
    registry.alias("selector", "champion", "latest")
"""


def test_kill_during_publish_leaves_only_whole_bundles(files: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    registry = Registry(root)
    for round_number in range(5):
        first = len(registry.versions("selector")) + 1000 * round_number
        arguments = [sys.executable, "-c", PUSH_FOREVER, str(root), str(files), str(first)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.05 + 0.013 * round_number)
            child.send_signal(signal.SIGKILL)
        assert registry.verify() == {}
        aliases = registry.aliases("selector")
        assert set(aliases.values()) <= set(registry.versions("selector"))


def test_a_reader_beside_a_writer_sees_whole_bundles(files: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    registry = Registry(root)
    registry.push(files, "selector", "0.1.0")
    arguments = [sys.executable, "-c", PUSH_FOREVER, str(root), str(files), "1"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            child.stdout.readline()
            seen: set[str] = set()
            end = time.monotonic() + 60
            while len(seen) < 20 and time.monotonic() < end:
                seen.add(str(registry.find("selector", "latest").version))
        finally:
            child.kill()
    assert len(seen) == 20


def push_same(arguments: tuple[Path, Path]) -> bool:
    root, files = arguments
    try:
        Registry(root).push(files, "selector", "1.0.0")
    except ModelError:
        return False
    return True


def test_of_two_that_publish_one_version_one_wins(files: Path, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        won = list(pool.map(push_same, [(tmp_path / "models", files)] * 6))
    assert won.count(True) == 1
    assert Registry(tmp_path / "models").find("selector", "latest").version == "1.0.0"


def test_a_publish_that_fails_leaves_nothing(registry: Registry, files: Path) -> None:
    (files / "strange.bin").write_bytes(b"x")
    with pytest.raises(ModelError):
        registry.push(files, "selector", "1.0.0")
    with pytest.raises(ModelNotFound):
        registry.find("selector", "latest")


def test_a_folder_appears_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with new_folder(target) as folder:
        (folder / "a").write_text("a")
        assert not target.exists()
    assert (target / "a").read_text() == "a"


def test_a_file_is_created_once(tmp_path: Path) -> None:
    path = tmp_path / "1.json"
    assert create_file(path, b"one")
    assert not create_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert [*tmp_path.iterdir()] == [path]


def test_a_replacement_that_fails_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "aliases.json"
    replace_file(path, b"old")

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["aliases.json"]
