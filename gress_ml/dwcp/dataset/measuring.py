"""Measuring: the first stage. Every profile is run on every payload; one part file per source.

A part is written whole or not at all, so a build that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson

from gress_ml.dwcp import codecs
from gress_ml.dwcp.corpus.catalogue import kinds_here
from gress_ml.dwcp.corpus.pool import Pool
from gress_ml.dwcp.corpus.source import Version, versions_of
from gress_ml.dwcp.dataset.machine import machine
from gress_ml.dwcp.dataset.parquet import DatasetError
from gress_ml.dwcp.dataset.recipe import Planned, Recipe, planned
from gress_ml.dwcp.profiles import Profile, profiles
from gress_ml.dwcp.transfers import Payload, traits_of

#: The yardstick that history records, beside the profiles.
BASELINE = Profile("baseline", "zstd-3", 1)

_PARTS, _POOL, _RECIPE = "parts", "pool.json", "recipe.json"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far measuring is."""

    sources: int
    of: int
    payloads: int  # measured since the start


def measure(
    folder: Path,
    recipe: Recipe,
    workers: int = 1,
    pool: Pool | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Measure what is not yet in the folder. Raises DatasetError when it holds another recipe.

    ``pool`` are the files to make payloads of; those of this machine unless given.
    """
    parts = folder / _PARTS
    parts.mkdir(parents=True, exist_ok=True)
    _same_recipe(folder, recipe, pool)
    kinds, _ = kinds_here()
    plan = list(planned(recipe, kinds))
    todo = [one for one in plan if not _part(parts, one).exists()]
    todo.sort(key=lambda one: crc32(one.source_id.encode()))  # classes mixed, so progress is even
    done, payloads = len(plan) - len(todo), 0
    on_progress(Progress(done, len(plan), payloads))
    for count in _measured(folder, recipe, todo, workers):
        done, payloads = done + 1, payloads + count
        on_progress(Progress(done, len(plan), payloads))


def measurements(folder: Path) -> list[Row]:
    """All that was measured in the folder, in the order of payload ids.

    Raises DatasetError for a folder without measurements, and names the line that is damaged.
    """
    rows = [row for part in sorted((folder / _PARTS).glob("*.jsonl")) for row in _read(part)]
    if not rows:
        raise DatasetError(f"{folder}: nothing is measured yet; run: gress dataset measure")
    return rows


def recipe_of(folder: Path) -> dict[str, Any]:
    """The recipe, machine and lacks that the folder was begun with."""
    found: dict[str, Any] = orjson.loads((folder / _RECIPE).read_bytes())
    return found


# --- the folder -----------------------------------------------------------------------------------


def _same_recipe(folder: Path, recipe: Recipe, pool: Pool | None) -> None:
    path = folder / _RECIPE
    _, lacking = kinds_here()
    if not path.exists():
        (folder / _POOL).write_bytes((pool or Pool.of_this_machine()).to_json())
        about = {"recipe": asdict(recipe), "lacking": lacking, "machine": machine()}
        _write_whole(path, orjson.dumps(about, option=orjson.OPT_INDENT_2))
    begun = recipe_of(folder)
    if begun["lacking"] != lacking:
        raise DatasetError(
            f"{folder}: was begun where {begun['lacking'] or 'nothing'} was lacking, here it is "
            f"{lacking or 'nothing'}; go on there, or choose another folder"
        )
    known = begun["recipe"]
    if known != asdict(recipe):
        differing = [name for name, value in asdict(recipe).items() if known.get(name) != value]
        raise DatasetError(
            f"{folder}: was begun with another recipe ({', '.join(differing)} differ); "
            "go on with that one, or choose another folder"
        )


def _part(parts: Path, one: Planned) -> Path:
    return parts / f"{one.source_id}.jsonl"


def _write_whole(path: Path, data: bytes) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)


def _read(part: Path) -> Iterator[Row]:
    for number, line in enumerate(part.read_bytes().splitlines(), 1):
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DatasetError(
                f"{part}:{number}: not a measurement ({error}); delete the file and measure again"
            ) from error


# --- the work -------------------------------------------------------------------------------------


def _measured(folder: Path, recipe: Recipe, todo: Sequence[Planned], workers: int) -> Iterator[int]:
    if workers == 1:
        pool = Pool.from_json((folder / _POOL).read_bytes())
        yield from (_measure_source(folder, recipe, pool, one.source_id) for one in todo)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(str(folder),)
    ) as processes:
        names = [one.source_id for one in todo]
        futures = [processes.submit(_measure_by_worker, folder, recipe, name) for name in names]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            processes.shutdown(wait=False, cancel_futures=True)


_pool_of_worker: dict[str, Pool] = {}


def _begin(folder: str) -> None:
    _pool_of_worker[folder] = Pool.from_json(Path(folder, _POOL).read_bytes())
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """A worker whose parent was killed ends; what it has started ends with its standard input."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)  # nothing gentler ends a pool's process in its work


def _measure_by_worker(folder: Path, recipe: Recipe, source_id: str) -> int:
    return _measure_source(folder, recipe, _pool_of_worker[str(folder)], source_id)


def _measure_source(folder: Path, recipe: Recipe, pool: Pool, source_id: str) -> int:
    """Measure all versions of a source and write its part; how many they are."""
    kinds, _ = kinds_here()
    (one,) = [each for each in planned(recipe, kinds) if each.source_id == source_id]
    files = pool.part(one.cohort, recipe.cohorts)
    rows: list[Row] = []
    twice: list[tuple[Row, Payload]] = []
    for version in versions_of(one.kind, files, one.seed, one.sizes, one.states):
        payload = Payload(one.kind.payload_class, version.data, version.baseline)
        rows.append(_row(one, version, payload, recipe))
        if crc32(rows[-1]["payload_id"].encode()) < recipe.again_share * 2**32:
            twice.append((rows[-1], payload))
    # Measured again only now: what disturbs one measurement shall not disturb its repetition.
    for row, payload in twice:
        row["again"] = _arms(payload, recipe)
    data = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    _write_whole(_part(folder / _PARTS, one), data)
    return len(rows)


def _row(one: Planned, version: Version, payload: Payload, recipe: Recipe) -> Row:
    object_id = f"{one.source_id}.{version.piece}"
    return {
        "payload_id": f"{object_id}.{version.number}",
        "object_id": object_id,
        "source_id": one.source_id,
        "cohort": one.cohort,
        "version": version.number,
        "origin": one.kind.origin,
        "sha256": hashlib.sha256(version.data).hexdigest(),
        "baseline_size": len(version.baseline or b""),
        "traits": asdict(traits_of(payload)),
        "arms": _arms(payload, recipe),
        "baseline": asdict(codecs.run(BASELINE, payload.data, repeats=recipe.repeats)),
    }


def _arms(payload: Payload, recipe: Recipe) -> dict[str, Any]:
    return {
        name: asdict(codecs.run(profile, payload.data, payload.baseline, recipe.repeats))
        for name, profile in profiles(recipe.streams).items()
    }
