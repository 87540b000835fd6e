"""What every snapshot store does, and what a folder survives."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gress_ml.adapters.snapshots import FolderSnapshots, MemorySnapshots
from gress_ml.errors import StoreUnavailable
from gress_ml.ports import SavedState, SnapshotStore

WHERE = ("selector", "dwcp.transfers", 3)


def state(offset: int, data: bytes = b"state") -> SavedState:
    return SavedState(offset, {"features": (2, data), "learn": (1, b"")})


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    return MemorySnapshots() if request.param == "memory" else FolderSnapshots(tmp_path)


async def test_the_newest_at_or_before_an_offset_is_found(store: SnapshotStore) -> None:
    for offset in (9, 100, 1000):
        await store.save(*WHERE, state(offset))
    for at, expected in ((8, None), (9, 9), (99, 9), (100, 100), (10**12, 1000)):
        found = await store.newest(*WHERE, at)
        assert (found and found.offset) == expected


async def test_what_was_saved_comes_back(store: SnapshotStore) -> None:
    data = bytes(range(256)) * 10
    await store.save(*WHERE, state(5, data))
    assert await store.newest(*WHERE, 5) == state(5, data)


async def test_partitions_are_apart(store: SnapshotStore) -> None:
    await store.save(*WHERE, state(5))
    for other in (("other", WHERE[1], 3), (WHERE[0], "other", 3), (WHERE[0], WHERE[1], 4)):
        assert await store.newest(*other, 100) is None


async def test_the_last_few_are_kept(store: SnapshotStore) -> None:
    for offset in range(1, 8):
        await store.save(*WHERE, state(offset))
    assert await store.newest(*WHERE, 4) is None
    found = await store.newest(*WHERE, 5)
    assert found is not None
    assert found.offset == 5


async def test_after_going_back_in_the_log_new_ones_are_kept(store: SnapshotStore) -> None:
    """Kept are the last written, not the highest: else a replay from the start would keep none."""
    for offset in (1000, 2000, 3000, 10):
        await store.save(*WHERE, state(offset))
    found = await store.newest(*WHERE, 20)
    assert found is not None
    assert found.offset == 10


async def test_saving_an_offset_again_replaces_it(store: SnapshotStore) -> None:
    await store.save(*WHERE, state(5, b"old"))
    await store.save(*WHERE, state(5, b"new"))
    assert await store.newest(*WHERE, 5) == state(5, b"new")


async def test_later_changes_of_the_callers_state_do_not_show(store: SnapshotStore) -> None:
    steps = {"a": (1, b"x")}
    await store.save(*WHERE, SavedState(5, steps))
    steps["a"] = (1, b"y")
    assert await store.newest(*WHERE, 5) == SavedState(5, {"a": (1, b"x")})


# --- the folder alone -----------------------------------------------------------------------------


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.snapshot"))


@pytest.mark.parametrize("damage", ["truncated", "empty", "bit", "foreign", "renamed"])
async def test_a_damaged_newest_one_is_passed_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = FolderSnapshots(tmp_path)
    await store.save(*WHERE, state(10))
    await store.save(*WHERE, state(20))
    newest = files(tmp_path)[-1]
    data = newest.read_bytes()
    if damage == "renamed":
        newest.rename(newest.with_name(f"{30:020d}.snapshot"))
    else:
        flipped = data[:-1] + bytes([data[-1] ^ 1])
        damaged = {"truncated": data[:-5], "empty": b"", "bit": flipped, "foreign": b"\x80\x04."}
        newest.write_bytes(damaged[damage])
    assert await store.newest(*WHERE, 100) == state(10)
    assert "is not used" in caplog.text


async def test_a_path_tells_topology_topic_partition_and_offset(tmp_path: Path) -> None:
    await FolderSnapshots(tmp_path).save("../up", "a.b", 7, state(42))
    assert [str(path.relative_to(tmp_path)) for path in files(tmp_path)] == [
        f"..%2Fup/a.b/7/{42:020d}.snapshot"
    ]
    await FolderSnapshots(tmp_path).save("..", ".", 7, state(42))
    assert len(files(tmp_path)) == 2


async def test_a_copied_folder_is_not_taken_for_another_partition(tmp_path: Path) -> None:
    store = FolderSnapshots(tmp_path)
    await store.save(*WHERE, state(10))
    folder = files(tmp_path)[0].parent
    folder.rename(folder.with_name("4"))
    with pytest.raises(StoreUnavailable, match="renamed or copied"):
        await store.newest(WHERE[0], WHERE[1], 4, 100)


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "selector").write_text("a file, not a folder")
    with pytest.raises(StoreUnavailable):
        await FolderSnapshots(tmp_path).save(*WHERE, state(1))


async def test_what_a_killed_writer_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    store = FolderSnapshots(tmp_path)
    await store.save(*WHERE, state(1))
    folder = files(tmp_path)[0].parent
    (folder / ".incoming-old").write_bytes(b"half")
    os.utime(folder / ".incoming-old", (0, 0))
    (folder / ".incoming-new").write_bytes(b"half")
    await store.save(*WHERE, state(2))
    assert sorted(p.name for p in folder.glob(".incoming*")) == [".incoming-new"]


SAVE_FOREVER = """
import asyncio, itertools, sys
from pathlib import Path
from gress_ml.adapters.snapshots import FolderSnapshots
from gress_ml.ports import SavedState

async def main():
    store = FolderSnapshots(Path(sys.argv[1]))
    for offset in itertools.count(int(sys.argv[2])):
        data = offset.to_bytes(8) * 5000
        await store.save("t", "x", 0, SavedState(offset, {"s": (1, data)}))
        if offset % 100 == 5:
            print("saved", flush=True)

asyncio.run(main())
"""


def save_until_killed(root: Path, start: int) -> None:
    command = [sys.executable, "-c", SAVE_FOREVER, str(root), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.01)
        child.send_signal(signal.SIGKILL)


async def test_a_kill_while_saving_leaves_whole_snapshots(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, last = FolderSnapshots(tmp_path), 0
    for start in range(5, 40_000, 10_000):
        await asyncio.to_thread(save_until_killed, tmp_path, start)
        found = await store.newest("t", "x", 0, 10**9)
        assert found is not None
        assert found.offset > last
        assert found.steps["s"] == (1, found.offset.to_bytes(8) * 5000)
        last = found.offset
    assert "is not used" not in caplog.text
