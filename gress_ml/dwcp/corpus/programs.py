"""Programs whose memory is looked at. Run as a script of its own: ``programs.py KIND SEED BYTES``.

The first line of its input is a JSON list of files that it may read. After each further line it
works one step and answers with a line; at the end of the input it ends. Standard library and NumPy
only, and nothing of the package, so that its memory is that of an ordinary program.
"""

from __future__ import annotations

import ast
import json
import re
import sqlite3
import sys
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

_STATES = ("new", "paid", "sent", "returned")
_WORD = re.compile(r"\w{3,}")


def records(random: Random, size: int, files: list[str]) -> Iterator[None]:
    """Objects of a business program, some of which change."""
    known = {number: _record(random, number) for number in range(max(100, size // 700))}
    share = random.betavariate(1, 5)
    while True:
        yield
        for number in random.sample(sorted(known), int(share * len(known))):
            known[number]["state"] = random.choice(_STATES)
            known[number]["total"] += random.random()
        for number in random.sample(sorted(known), int(share * len(known) / 4)):
            del known[number]
            known[len(known) + random.randrange(10**6)] = _record(random, number)


def _record(random: Random, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"customer {random.randrange(10**6)}",
        "state": random.choice(_STATES),
        "total": random.random() * 100,
        "items": [random.randrange(1000) for _ in range(random.randrange(1, 9))],
    }


def arrays(random: Random, size: int, files: list[str]) -> Iterator[None]:
    """Numbers that are computed with, part by part."""
    import numpy as np

    rng = np.random.default_rng(random.randrange(2**32))
    held: list[Any] = [
        rng.normal(size=size // 32),
        rng.integers(0, 1000, size // 32),
        np.zeros(size // 64),
        rng.normal(size=size // 64).astype(np.float32),
    ]
    share = random.betavariate(1, 3)
    while True:
        yield
        for array in held:
            length = int(share * len(array))
            start = random.randrange(max(1, len(array) - length))
            part = array[start : start + length]
            part[:] = np.sort(part) if random.random() < 0.3 else part * 3 + 1


def parser(random: Random, size: int, files: list[str]) -> Iterator[None]:
    """Syntax trees of sources, a few at a time, the oldest let go."""
    trees: OrderedDict[str, Any] = OrderedDict()
    most = max(2, size // 400_000)
    while True:
        for path in random.sample(files, min(len(files), 2)):
            text = _text(path)
            try:
                trees[path] = (text, ast.parse(text[:40_000]))
            except (SyntaxError, ValueError):
                trees[path] = (text, None)
            if len(trees) > most:
                trees.popitem(last=False)
        yield


def index(random: Random, size: int, files: list[str]) -> Iterator[None]:
    """Where each word of a growing number of texts stands."""
    places: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for number in range(10**9):
        text = _text(random.choice(files)) if files else ""
        for found in _WORD.finditer(text[: max(20_000, size // 40)]):
            places[found.group()].append((number, found.start()))
        yield


def cache(random: Random, size: int, files: list[str]) -> Iterator[None]:
    """Compressed files, the least recently used given up."""
    held: OrderedDict[tuple[str, int], bytes] = OrderedDict()
    have = 0
    while True:
        for _ in range(30):
            path, level = random.choice(files), random.randrange(1, 7)
            data = zlib.compress(_text(path)[:60_000].encode(errors="replace"), level)
            have += len(data) - len(held.pop((path, level), b""))
            held[path, level] = data
            while have > size and held:
                have -= len(held.popitem(last=False)[1])
        yield


def tables(random: Random, size: int, files: list[str]) -> Iterator[None]:
    """A database in memory that is inserted into and updated."""
    database = sqlite3.connect(":memory:")
    database.execute(
        "CREATE TABLE facts (id INTEGER PRIMARY KEY, word TEXT, weight REAL, note TEXT)"
    )
    more = max(200, size // 200)
    while True:
        words = _WORD.findall(_text(random.choice(files))) or ["none"]
        rows = [
            (random.choice(words), random.random(), " ".join(random.sample(words, 3 % len(words))))
            for _ in range(more)
        ]
        database.executemany("INSERT INTO facts (word, weight, note) VALUES (?,?,?)", rows)
        database.execute(
            "UPDATE facts SET weight = weight + 1 WHERE id % 7 = ?", (random.randrange(7),)
        )
        more = max(50, more // 8)
        yield


PROGRAMS = {made.__name__: made for made in (records, arrays, parser, index, cache, tables)}


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def main(kind: str, seed: int, size: int) -> None:
    """Work a step for each line of the input."""
    files = json.loads(sys.stdin.readline())
    work = PROGRAMS[kind](Random(seed), size, files)  # noqa: S311 - data, not secrets
    for _ in sys.stdin:
        next(work)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
