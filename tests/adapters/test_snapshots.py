"""What every snapshot store does, and what a folder survives."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gress_ml.adapters.snapshots import FolderSnapshots, MemorySnapshots
from gress_ml.errors import SnapshotError, StoreUnavailable
from gress_ml.ports import SavedState, SnapshotStore

WHERE = ("selector", "dwcp.transfers", 3)


def state(offset: int, data: bytes = b"state") -> SavedState:
    return SavedState(offset, {"features": (2, data), "learn": (1, b"")})


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    return MemorySnapshots() if request.param == "memory" else FolderSnapshots(tmp_path)


async def test_the_newest_comes_first(store: SnapshotStore) -> None:
    for offset in (100, 9, 1000):
        await store.save(*WHERE, state(offset))
    assert await store.offsets(*WHERE) == [1000, 100, 9]


async def test_what_was_saved_comes_back(store: SnapshotStore) -> None:
    data = bytes(range(256)) * 10
    await store.save(*WHERE, state(5, data))
    assert await store.load(*WHERE, 5) == state(5, data)


async def test_partitions_are_apart(store: SnapshotStore) -> None:
    await store.save(*WHERE, state(5))
    for other in (("other", WHERE[1], 3), (WHERE[0], "other", 3), (WHERE[0], WHERE[1], 4)):
        assert await store.offsets(*other) == []
        with pytest.raises(SnapshotError):
            await store.load(*other, 5)


async def test_the_last_few_are_kept(store: SnapshotStore) -> None:
    for offset in range(1, 8):
        await store.save(*WHERE, state(offset))
    assert await store.offsets(*WHERE) == [7, 6, 5]


async def test_after_going_back_in_the_log_new_ones_are_kept(store: SnapshotStore) -> None:
    """Kept are the last written, not the highest: else a replay from the start would keep none."""
    for offset in (1000, 2000, 3000, 10):
        await store.save(*WHERE, state(offset))
    assert await store.offsets(*WHERE) == [3000, 2000, 10]


async def test_saving_an_offset_again_replaces_it(store: SnapshotStore) -> None:
    await store.save(*WHERE, state(5, b"old"))
    await store.save(*WHERE, state(5, b"new"))
    assert await store.offsets(*WHERE) == [5]
    assert await store.load(*WHERE, 5) == state(5, b"new")


async def test_later_changes_of_the_callers_state_do_not_show(store: SnapshotStore) -> None:
    steps = {"a": (1, b"x")}
    await store.save(*WHERE, SavedState(5, steps))
    steps["a"] = (1, b"y")
    assert await store.load(*WHERE, 5) == SavedState(5, {"a": (1, b"x")})


# --- the folder alone -----------------------------------------------------------------------------


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.snapshot"))


def damaged(data: bytes, damage: str) -> bytes:
    flipped = bytearray(data)
    flipped[-1] ^= 1
    return {
        "truncated": data[:-5],
        "empty": b"",
        "flipped": bytes(flipped),
        "foreign": b"\x80\x04.",
        "of another format": data.replace(b"gress-snapshot-1", b"gress-snapshot-9"),
        "zeros, as after a power cut": bytes(len(data)),
    }[damage]


@pytest.mark.parametrize(
    "damage",
    [
        *("truncated", "empty", "flipped", "foreign", "of another format"),
        "zeros, as after a power cut",
    ],
)
async def test_a_damaged_one_is_refused_and_the_one_before_it_is_whole(
    tmp_path: Path, damage: str
) -> None:
    store = FolderSnapshots(tmp_path)
    await store.save(*WHERE, state(10))
    await store.save(*WHERE, state(20))
    newest = files(tmp_path)[-1]
    newest.write_bytes(damaged(newest.read_bytes(), damage))
    assert await store.offsets(*WHERE) == [20, 10]
    with pytest.raises(SnapshotError, match=r"expected a snapshot|checksum is wrong"):
        await store.load(*WHERE, 20)
    assert await store.load(*WHERE, 10) == state(10)


async def test_a_renamed_one_is_refused(tmp_path: Path) -> None:
    """Its offset says what to replay: with another one, records would be missing or twice."""
    store = FolderSnapshots(tmp_path)
    await store.save(*WHERE, state(20))
    (saved,) = files(tmp_path)
    saved.rename(saved.with_name(f"{30:020d}.snapshot"))
    with pytest.raises(SnapshotError, match="renamed or copied"):
        await store.load(*WHERE, 30)


@pytest.mark.parametrize("instead", ["folder", "loop of links", "dangling link", "nothing"])
async def test_what_is_no_file_is_refused_and_later_ones_are_saved(
    tmp_path: Path, instead: str
) -> None:
    store = FolderSnapshots(tmp_path)
    await store.save(*WHERE, state(10))
    bad = files(tmp_path)[0].with_name(f"{20:020d}.snapshot")
    match instead:
        case "folder":
            bad.mkdir()
        case "loop of links":
            bad.symlink_to(bad)
        case "dangling link":
            bad.symlink_to(tmp_path / "gone")
    with pytest.raises(SnapshotError):
        await store.load(*WHERE, 20)
    for offset in (30, 40, 50):
        await store.save(*WHERE, state(offset))
    assert [o for o in await store.offsets(*WHERE) if o != 20] == [50, 40, 30]


async def test_a_store_that_does_not_answer_is_no_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may pass: the snapshot is worth waiting for."""
    store = FolderSnapshots(tmp_path)
    await store.save(*WHERE, state(10))

    def away(_: Path) -> bytes:
        raise OSError(errno.ESTALE, "stale file handle")

    monkeypatch.setattr(Path, "read_bytes", away)
    with pytest.raises(StoreUnavailable):
        await store.load(*WHERE, 10)


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
    with pytest.raises(SnapshotError, match="renamed or copied"):
        await store.load(WHERE[0], WHERE[1], 4, 10)


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


FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from gress_ml.adapters.snapshots import FolderSnapshots
from gress_ml.errors import StoreUnavailable
from gress_ml.ports import SavedState

async def main():
    store = FolderSnapshots(Path(sys.argv[1]))
    await store.save("t", "x", 0, SavedState(1, {"s": (1, b"small")}))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        await store.save("t", "x", 0, SavedState(2, {"s": (1, bytes(1 << 20))}))
    except StoreUnavailable:
        print("unavailable")

asyncio.run(main())
"""


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses to write on after 4 KiB, as a disk does that is full."""
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "unavailable\n"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{1:020d}.snapshot"]
    assert asyncio.run(FolderSnapshots(tmp_path).offsets("t", "x", 0)) == [1]


async def test_a_snapshot_with_a_learner_has_a_second_name_for_the_same_file(
    tmp_path: Path,
) -> None:
    store = FolderSnapshots(tmp_path)
    await store.save("t", "x", 0, SavedState(7, {"s": (1, b"state")}, label="fraud-2"))
    (first,) = tmp_path.rglob("*.snapshot")
    (second,) = tmp_path.rglob("*.ckpt")
    assert re.fullmatch(r"fraud-2-\d{8}-\d{6}\.ckpt", second.name)
    assert second.samefile(first)
    assert await store.offsets("t", "x", 0) == [7]


async def test_second_names_go_with_the_first_and_one_that_is_there_is_replaced(
    tmp_path: Path,
) -> None:
    store = FolderSnapshots(tmp_path, keep=2)
    for offset in range(1, 6):
        await store.save("t", "x", 0, SavedState(offset, {}, label="fraud-2"))
    kept = {path.stat().st_ino for path in tmp_path.rglob("*.snapshot")}
    named = [*tmp_path.rglob("*.ckpt")]
    assert len(kept) == 2
    assert named
    assert {path.stat().st_ino for path in named} <= kept
    assert not [*tmp_path.rglob(".incoming-*")]


async def test_a_label_with_a_slash_stays_in_its_folder(tmp_path: Path) -> None:
    store = FolderSnapshots(tmp_path)
    await store.save("t", "x", 0, SavedState(1, {}, label="../../a-1"))
    (named,) = tmp_path.rglob("*.ckpt")
    assert named.parent == tmp_path / "t" / "x" / "0"


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
    tmp_path: Path,
) -> None:
    store, last = FolderSnapshots(tmp_path), 0
    for start in range(5, 40_000, 10_000):
        await asyncio.to_thread(save_until_killed, tmp_path, start)
        kept = await store.offsets("t", "x", 0)
        assert kept[0] > last
        for offset in kept:
            found = await store.load("t", "x", 0, offset)
            assert found.steps["s"] == (1, offset.to_bytes(8) * 5000)
        last = kept[0]
