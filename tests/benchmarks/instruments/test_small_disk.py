"""A disk that is full, on a real one where this machine can mount it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.instruments.small_disk import SmallDisk
from benchmarks.chaos.instruments.unavailable import Unavailable
from gress_ml.adapters.snapshots import FolderSnapshots
from gress_ml.errors import StoreUnavailable
from gress_ml.ports import SavedState


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with SmallDisk(tmp_path / "disk", kib=400) as disk:
            yield disk
    except Unavailable as why:
        pytest.skip(str(why))


def test_a_full_disk_takes_nothing_and_a_freed_one_does(disk: SmallDisk) -> None:
    (disk.folder / "before").write_bytes(b"x" * 10_000)
    disk.fill()
    assert disk.free_bytes == 0
    with pytest.raises(OSError) as caught:
        (disk.folder / "during").write_bytes(b"x")
    assert caught.value.errno == errno.ENOSPC
    assert (disk.folder / "before").read_bytes() == b"x" * 10_000
    disk.free()
    (disk.folder / "after").write_bytes(b"x" * 10_000)


def test_it_is_as_small_as_was_asked(disk: SmallDisk) -> None:
    assert disk.free_bytes <= 400 * 1024


def test_filling_twice_is_filling_once(disk: SmallDisk) -> None:
    disk.fill()
    disk.fill()
    disk.free()
    disk.free()
    assert disk.free_bytes > 0


async def test_a_snapshot_that_finds_no_room_leaves_the_one_before_it(disk: SmallDisk) -> None:
    store = FolderSnapshots(disk.folder)
    await store.save("t", "in", 0, SavedState(10, {"step": (1, b"x" * 5000)}))
    disk.fill()
    with pytest.raises(StoreUnavailable, match="No space left"):
        await store.save("t", "in", 0, SavedState(20, {"step": (1, b"x" * 5000)}))
    assert await store.offsets("t", "in", 0) == [10]
    disk.free()
    await store.save("t", "in", 0, SavedState(20, {"step": (1, b"x" * 5000)}))
    assert await store.offsets("t", "in", 0) == [20, 10]
    assert disk.free_bytes > 400 * 1024 - 40_000  # no half-written file stays


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    try:
        with SmallDisk(tmp_path / "disk") as disk:
            disk.fill()
    except Unavailable as why:
        pytest.skip(str(why))
    assert not os.path.ismount(tmp_path / "disk")
    assert list((tmp_path / "disk").iterdir()) == []


def test_what_a_killed_run_left_is_taken_away_first(disk: SmallDisk) -> None:
    disk.fill()
    with SmallDisk(disk.folder, kib=800) as again:
        assert again.free_bytes > 400 * 1024
        assert list(again.folder.iterdir()) == []
    assert not os.path.ismount(disk.folder)
    disk.__enter__()  # for the end of the fixture, which ends the former one


def test_without_the_right_to_mount_it_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no mount on this machine"), SmallDisk(tmp_path / "disk"):
        pass
