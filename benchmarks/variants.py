"""Variants: the shipped topology under other names, in a project folder of the benchmark's own."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders import ROOT, TOPOLOGY
from benchmarks.topics import BAD_TRANSFERS, TRANSFERS

PROJECT = "project"
_NAME = "name: compression-selector\n"
_INPUT = f"topic: {TRANSFERS}\n"


def write_variants(home: Path) -> None:
    """One file for each contender that is a topology; each group is named ``bench-<key>``."""
    shipped = TOPOLOGY.read_text()
    once = "guarantee: exactly_once\ncommit_interval: 100ms\n"
    topologies = {
        "gress": _named("gress", shipped),
        "exactly_once": _swap(_NAME, f"name: bench-exactly_once\n{once}", shipped),
        "bad_1pct": _swap(_INPUT, f"topic: {BAD_TRANSFERS}\n", _named("bad_1pct", shipped)),
    }
    folder = home / PROJECT / "topologies"
    folder.mkdir(parents=True)
    (home / PROJECT / "models").symlink_to(ROOT / "models")
    for key, text in topologies.items():
        (folder / f"{key}.yaml").write_text(text)


def _named(key: str, text: str) -> str:
    return _swap(_NAME, f"name: bench-{key}\n", text)


def _swap(old: str, new: str, text: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"expected {old!r} once in {TOPOLOGY}; the benchmark's variants need it")
    return text.replace(old, new)
