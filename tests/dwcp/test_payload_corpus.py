from __future__ import annotations

import sqlite3
import subprocess
import sys
import sysconfig
import tarfile
import wave
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gress_ml.dwcp.corpus.catalogue import KINDS, kinds_here
from gress_ml.dwcp.corpus.disk import Volume
from gress_ml.dwcp.corpus.edits import edit
from gress_ml.dwcp.corpus.pool import Lineage, Pool
from gress_ml.dwcp.corpus.process import Frames, resident_pages
from gress_ml.dwcp.corpus.source import Version, versions_of
from gress_ml.dwcp.corpus.tree import Tree, tar
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import PAGE, PAYLOAD_TYPES, SUFFIXES, payload_type_of

STDLIB = Path(sysconfig.get_path("stdlib"))
KIND = {f"{kind.payload_class}/{kind.name}": kind for kind in KINDS}
SEED = (17, 4)


def sound(seconds: float) -> bytes:
    made = BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(int(16_000 * seconds)))
    return made.getvalue()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Two releases of a few real modules, the older one being the first half of their lines."""
    old, new = (tmp_path_factory.mktemp(name) for name in ("old", "new"))
    modules = ["ast.py", "json/decoder.py", "json/encoder.py", "textwrap.py", "calendar.py"]
    for name in modules:
        text = (STDLIB / name).read_bytes().splitlines(keepends=True)
        for folder, lines in ((old, text[: len(text) // 2]), (new, text)):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"".join(lines))
    library = next(STDLIB.glob("lib-dynload/_json*.so")).read_bytes()
    (old / "_json.cpython-310-x86_64-linux-gnu.so").write_bytes(library[:-4096])
    (new / "_json.cpython-311-x86_64-linux-gnu.so").write_bytes(library)
    licence = (STDLIB / "LICENSE.txt").read_bytes()
    for name, data in {
        "LICENSE.txt": licence,
        "work.log": licence * 8,
        "beep.wav": sound(1.0),
        "packed.gz": tar({"a": library, "b": licence}),
    }.items():
        (new / name).write_bytes(data)
    return Pool.below([[old, new]])


def lineage(pool: Pool, name: str) -> Lineage:
    return next(one for those in pool.lineages.values() for one in those if name in one.key)


# --- files ----------------------------------------------------------------------------------------


def test_every_class_of_payload_has_endings_of_its_own() -> None:
    assert set(SUFFIXES) == set(PAYLOAD_TYPES)
    endings = [suffix for those in SUFFIXES.values() for suffix in those]
    assert len(endings) == len(set(endings))
    for kind, those in SUFFIXES.items():
        assert {payload_type_of(Path("a" + suffix)) for suffix in those} == {kind}


def test_versions_of_a_file_are_one_lineage_the_oldest_first(pool: Pool) -> None:
    first, second = lineage(pool, "json/decoder.py").versions()
    assert second.startswith(first)
    assert len(second) > len(first)


def test_builds_of_an_extension_module_are_one_lineage(pool: Pool) -> None:
    assert len(lineage(pool, "_json.so").paths) == 2


def test_equal_contents_are_one_version(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"new" if name == "c" else b"old")
    paths = (tmp_path / "a", tmp_path / "b", tmp_path / "gone", tmp_path / "c")
    assert list(Lineage("k", paths, 3).versions()) == [b"old", b"new"]


@pytest.mark.parametrize("of", [2, 7])
def test_parts_of_a_pool_share_no_file_and_lose_none(pool: Pool, of: int) -> None:
    parts = [pool.part(number, of) for number in range(of)]
    for kind, those in pool.lineages.items():
        keys = [one.key for part in parts for one in part.lineages[kind]]
        assert sorted(keys) == sorted(one.key for one in those)


def test_a_copy_of_a_file_is_in_the_same_part(pool: Pool) -> None:
    copy = Lineage("9/elsewhere/json/decoder.py", (), 1)
    known = lineage(pool, "json/decoder.py")
    both = Pool({"source": [known, copy]})
    assert any(len(both.part(number, 7).lineages["source"]) == 2 for number in range(7))


def test_a_pool_survives_its_list(pool: Pool) -> None:
    assert Pool.from_json(pool.to_json()) == Pool(
        {kind: list(those) for kind, those in pool.lineages.items()}
    )


def test_picked_files_have_the_size_or_are_all_there_is(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    assert sum(one.size for one in pool.pick("source", 20_000, rng)) >= 20_000
    assert len(pool.pick("source", 1 << 30, rng)) == len(pool.lineages["source"])
    assert pool.pick("database", 1, rng) == []


# --- change ---------------------------------------------------------------------------------------


def test_a_tree_goes_to_the_next_release_and_is_edited_after_it(pool: Pool) -> None:
    known = lineage(pool, "textwrap.py")
    tree = Tree.of([known], np.random.default_rng(0))
    old, new = known.versions()
    assert tree.files == {known.key: old}
    assert tree.step(1.0) == [known.key]
    assert tree.files == {known.key: new}
    # An edit may find nothing to do, such as a line without a name to change.
    assert any(tree.step(1.0) for _ in range(5))
    assert tree.files[known.key] != new


@given(st.integers(0, 2**32 - 1))
def test_an_edit_leaves_most_lines_as_they_are(seed: int) -> None:
    text = b"".join(b"line %d of a file\n" % number for number in range(1000))
    after = edit(text, b"something else\n" * 50, np.random.default_rng(seed))
    kept = set(after.splitlines()) & set(text.splitlines())
    renamed = not kept  # the name that stands in every line was chosen
    assert renamed or len(kept) > 700


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.none() | st.binary(min_size=1, max_size=3 * PAGE)),
        max_size=20,
    )
)
def test_a_volume_holds_every_file_in_whole_blocks(
    work: list[tuple[str, bytes | None]],
) -> None:
    volume, files = Volume(bytearray(PAGE)), dict[str, bytes]()
    for name, data in work:
        if data is None:
            volume.remove(name)
            files.pop(name, None)
        else:
            volume.write(name, data)
            files[name] = data
    used: list[int] = []
    for name, data in files.items():
        blocks = volume.blocks(name)
        image = b"".join(volume.image[at * PAGE : (at + 1) * PAGE] for at in blocks)
        assert image[: len(data)] == data
        assert not image[len(data) :].strip(b"\0")
        used += blocks
    assert len(used) == len(set(used))
    assert len(volume.image) % PAGE == 0


def test_what_was_deleted_stays_on_the_volume_until_it_is_written_over() -> None:
    volume = Volume(bytearray(2 * PAGE))
    volume.write("a", b"secret")
    volume.remove("a")
    assert b"secret" in volume.image
    volume.write("b", b"other")
    assert b"secret" not in volume.image


# --- memory ---------------------------------------------------------------------------------------


def test_a_page_keeps_its_frame_and_reads_zero_when_it_is_gone() -> None:
    frames = Frames()
    one, two, three = (bytes([value]) * PAGE for value in (1, 2, 3))
    assert frames.image({8 * PAGE: two, 0: one}) == two + one
    assert frames.image({0: one, 4 * PAGE: three}) == bytes(PAGE) + one + three


def test_the_memory_of_a_child_holds_what_it_holds() -> None:
    program = "import sys; held = sys.stdin.readline() * 500; print(len(held), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"a sentence that stands nowhere else\n")
        process.stdin.flush()
        process.stdout.readline()
        memory = b"".join(resident_pages(process.pid).values())
        process.kill()
    assert memory.count(b"a sentence that stands nowhere else") >= 500


# --- all kinds ------------------------------------------------------------------------------------


def versions(name: str, pool: Pool, sizes: list[int]) -> list[Version]:
    return list(versions_of(KIND[name], pool, SEED, sizes, [4] * len(sizes)))


def test_a_kind_is_there_or_says_what_it_lacks() -> None:
    able, lacking = kinds_here()
    there = {f"{kind.payload_class}/{kind.name}" for kinds in able.values() for kind in kinds}
    assert there | set(lacking) == set(KIND)
    assert not there & set(lacking)
    assert all(lacking.values())
    assert {kind.payload_class for kind in KINDS} == set(PAYLOAD_TYPES)


@pytest.mark.parametrize("name", KIND)
def test_each_version_follows_the_one_before(name: str, pool: Pool) -> None:
    reason = KIND[name].missing()
    if reason:
        pytest.skip(reason)
    sizes = [16_384, 5_000]
    found = versions(name, pool, sizes)
    assert {one.piece for one in found} == {0, 1}
    for piece, size in enumerate(sizes):
        those = [one for one in found if one.piece == piece]
        assert [one.number for one in those] == list(range(len(those)))
        assert [one.baseline for one in those] == [None, *(one.data for one in those[:-1])]
        assert all(0 < len(one.data) <= size and one.data != one.baseline for one in those)


@pytest.mark.parametrize("name", ["vm_memory/records", "vm_disk/volume", "database/pages"])
def test_a_later_state_shares_much_with_the_one_before(name: str, pool: Pool) -> None:
    reason = KIND[name].missing()
    if reason:
        pytest.skip(reason)
    after = versions(name, pool, [400_000])[1:]
    assert after
    for one in after:
        assert one.baseline
        pages = min(len(one.data), len(one.baseline)) // PAGE
        both = [
            np.frombuffer(data, np.uint8, pages * PAGE).reshape(pages, PAGE)
            for data in (one.data, one.baseline)
        ]
        assert (both[0] == both[1]).all(axis=1).any()


def states(name: str, pool: Pool, size: int = 50_000) -> list[bytes]:
    return list(KIND[name].make(Wish(pool, np.random.default_rng(1), size, 4)))


def test_every_state_of_a_database_is_sound(pool: Pool, tmp_path: Path) -> None:
    found = states("database/pages", pool)
    assert len(found) == 4
    for number, state in enumerate(found):
        path = tmp_path / f"{number}.db"
        path.write_bytes(state)
        with sqlite3.connect(path) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert database.execute("SELECT count(*) > 0 FROM orders").fetchone() == (1,)
        database.close()


@pytest.mark.parametrize("name", ["log/plain", "log/json", "log/access", "log/imports"])
def test_a_log_grows_by_whole_lines(name: str, pool: Pool) -> None:
    found = states(name, pool)
    for before, after in pairwise(found):
        assert after.startswith(before)
    assert all(state.endswith(b"\n") for state in found)
    assert len(found[-1]) > len(found[0])


def test_several_files_are_a_tar_archive_without_owners() -> None:
    with tarfile.open(fileobj=BytesIO(tar({"a": b"1", "b": b"22"}))) as archive:
        members = archive.getmembers()
    assert [(one.name, one.size, one.uid, one.uname, one.mtime) for one in members] == [
        ("a", 1, 0, "", 0),
        ("b", 2, 0, "", 0),
    ]


def test_a_piece_that_did_not_change_is_not_sent_again(pool: Pool) -> None:
    kind = Kind("text", "still", "the same bytes", lambda wish: iter([b"same"] * wish.states))
    found = list(versions_of(kind, pool, SEED, [100], [4]))
    assert [(one.number, one.data) for one in found] == [(0, b"same")]


def test_a_kind_without_states_gives_no_versions(pool: Pool) -> None:
    kind = Kind("text", "nothing", "no files", lambda wish: iter(()))
    assert list(versions_of(kind, pool, SEED, [100], [4])) == []
