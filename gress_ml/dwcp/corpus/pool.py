"""Pool: the files of this machine that payloads are made of, each with its other versions."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
import orjson

from gress_ml.dwcp.payloads import BINARY, SUFFIXES, payload_type_of

LEAST_FILE, MOST_FILE = 512, 24 << 20

_KNOWN = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
# What differs between builds of one module: cpython-311-x86_64-linux-gnu, abi3, opt-1, m.
_BUILD = re.compile(r"\.(cpython-\w+|abi3|opt-\d)(-[\w-]+)?(?=\.)")
# Programs look for these bytes at the start of an executable or a shared library.
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Lineage:
    """One file in the versions that the machine has, the oldest first."""

    key: str
    paths: tuple[Path, ...]
    size: int  # bytes of the oldest

    def versions(self) -> Iterator[bytes]:
        """The contents, leaving out what equals the version before or cannot be read."""
        last = None
        for path in self.paths:
            try:
                data = path.read_bytes()
            except OSError:
                continue
            if data and data != last:
                yield data
            last = data


@dataclass(frozen=True, slots=True)
class Pool:
    """Lineages by kind of payload, in an order that depends on the machine's files only."""

    lineages: Mapping[str, Sequence[Lineage]] = field(default_factory=dict)

    @classmethod
    def of_this_machine(cls) -> Pool:
        """Python's libraries in all installed versions, and the system's shared files and logs."""
        return cls.below(_groups())

    @classmethod
    def below(cls, groups: Sequence[Sequence[Path]]) -> Pool:
        """All usable files; a group's folders hold versions of the same tree, the oldest first."""
        found: dict[str, list[Lineage]] = defaultdict(list)
        for number, roots in enumerate(groups):
            paths: dict[str, list[tuple[Path, int]]] = defaultdict(list)
            for root in roots:
                for path, size in _files(root):
                    name = _BUILD.sub("", str(path.relative_to(root))).replace("__pycache__/", "")
                    paths[f"{number}/{name}"].append((path, size))
            for key, those in sorted(paths.items()):
                kind = _kind(those[0][0])
                if kind:
                    versions = tuple(path for path, _ in those)
                    found[kind].append(Lineage(key, versions, those[0][1]))
        return cls(found)

    def to_json(self) -> bytes:
        """The list of files: looking for them takes longer than reading it."""
        return orjson.dumps(
            {
                kind: [(one.key, [str(path) for path in one.paths], one.size) for one in those]
                for kind, those in self.lineages.items()
            }
        )

    @classmethod
    def from_json(cls, text: bytes) -> Pool:
        """What :meth:`to_json` wrote."""
        return cls(
            {
                kind: [Lineage(key, tuple(map(Path, paths)), size) for key, paths, size in those]
                for kind, those in orjson.loads(text).items()
            }
        )

    def part(self, number: int, of: int) -> Pool:
        """One of ``of`` parts that share no lineage: which one follows from a file's name alone."""
        return Pool(
            {
                kind: [one for one in those if crc32(_name(one)) % of == number]
                for kind, those in self.lineages.items()
            }
        )

    def pick(
        self, kind: str, size: int, rng: np.random.Generator, versions: int = 1
    ) -> list[Lineage]:
        """Files of a kind, by chance, that have ``size`` bytes together; fewer if there are not.

        Files above four times the size are left out unless there is nothing else. Only those with
        at least so many ``versions`` are taken.
        """
        known = [one for one in self.lineages.get(kind, ()) if len(one.paths) >= versions]
        fitting = [one for one in known if one.size <= max(4 * size, 1 << 16)] or known
        picked: list[Lineage] = []
        have = 0
        for at in rng.permutation(len(fitting)).tolist():
            if have >= size:
                break
            # A payload of one file is as common as one of many.
            if not picked and fitting[at].size < size and at % 2:
                larger = [one for one in fitting if size <= one.size <= 4 * size]
                if larger:
                    return [larger[int(rng.integers(len(larger)))]]
            picked.append(fitting[at])
            have += fitting[at].size
        return picked


def _name(lineage: Lineage) -> bytes:
    """A copy of a file elsewhere has the same name, and must not be held for another file."""
    return "/".join(lineage.key.split("/")[-2:]).encode()


def _files(root: Path) -> Iterator[tuple[Path, int]]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            try:
                if path.is_symlink() or not path.is_file():
                    continue
                size = path.stat().st_size
            except OSError:
                continue
            if LEAST_FILE <= size <= MOST_FILE:
                yield path, size


def _kind(path: Path) -> str:
    """The kind of payload that a file is; empty for one that nothing is known of."""
    if path.suffix in _KNOWN:
        return payload_type_of(path)
    if ".so." not in path.name and not os.access(path, os.X_OK):
        return ""
    try:
        with path.open("rb") as file:
            return BINARY if file.read(4) == _ELF else ""
    except OSError:
        return ""


def _groups() -> list[list[Path]]:
    stdlibs = _stdlibs()
    sites = [lib / "site-packages" for lib in stdlibs] + [Path(sysconfig.get_path("platlib"))]
    multiarch = sysconfig.get_config_var("MULTIARCH") or "none"
    system = [f"/usr/lib/{multiarch}", "/usr/bin", "/usr/include", "/usr/share", "/var/log"]
    groups = [
        stdlibs,
        list(dict.fromkeys(sites)),
        *([Path(folder)] for folder in system),
    ]
    return [[folder for folder in group if folder.is_dir()] for group in groups]


def _stdlibs() -> list[Path]:
    """The standard libraries of all Pythons beside this one and of the system, the oldest first."""
    here = Path(sysconfig.get_path("stdlib"))
    beside = Path(sys.base_prefix).parent.glob("*/lib/python*")
    system = Path("/usr/lib").glob("python3.*")
    found = {path.resolve() for path in (here, *beside, *system) if (path / "ast.py").is_file()}
    return sorted(found, key=lambda path: (_version(path.name), str(path)))


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name))
