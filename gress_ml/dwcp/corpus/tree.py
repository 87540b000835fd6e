"""Tree: files that go on changing: to their next version where the machine has one, else edited."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gress_ml.dwcp.corpus.edits import edit
from gress_ml.dwcp.corpus.pool import Lineage
from gress_ml.dwcp.payloads import LOG, SOURCE, TEXT, payload_type_of

#: Kinds that a person edits.
EDITED = (TEXT, SOURCE, LOG)


@dataclass(slots=True)
class Tree:
    """Files by name in their present version."""

    rng: np.random.Generator
    files: dict[str, bytes] = field(default_factory=dict)
    _later: dict[str, Iterator[bytes]] = field(default_factory=dict)
    _edited: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, lineages: Sequence[Lineage], rng: np.random.Generator) -> Tree:
        """The oldest version of each file; what cannot be read is left out."""
        tree = cls(rng)
        for lineage in lineages:
            versions = lineage.versions()
            first = next(versions, None)
            if first is not None:
                tree.files[lineage.key] = first
                tree._later[lineage.key] = versions
                if payload_type_of(lineage.paths[0]) in EDITED:
                    tree._edited.add(lineage.key)
        return tree

    def step(self, share: float) -> list[str]:
        """Change about this share of the files, at least one; the names of those that changed."""
        names = list(self.files)
        chosen = [name for name in names if self.rng.random() < share]
        if not chosen and names:
            chosen = [names[int(self.rng.integers(len(names)))]]
        return [name for name in chosen if self._change(name)]

    def remove(self, name: str) -> None:
        """The file is no more."""
        del self.files[name]
        self._edited.discard(name)

    def _change(self, name: str) -> bool:
        later = next(self._later[name], None)
        if later is None and name in self._edited:
            later = edit(self.files[name], self._donor(), self.rng)
        if later is None or later == self.files[name]:
            return False
        self.files[name] = later
        return True

    def _donor(self) -> bytes:
        texts = sorted(self._edited)
        return self.files[texts[int(self.rng.integers(len(texts)))]]


def states_of(
    tree: Tree, count: int, pack: Callable[[Mapping[str, bytes]], bytes]
) -> Iterator[bytes]:
    """The tree as ``pack`` writes it, and again after each change; at most ``count`` states."""
    if not tree.files:
        return
    share = float(tree.rng.beta(1.0, 4.0))
    yield pack(tree.files)
    for _ in range(count - 1):
        if tree.step(share):
            yield pack(tree.files)


def tar(files: Mapping[str, bytes]) -> bytes:
    """One file as it is, several as a tar archive without compression, without owners or times."""
    if len(files) == 1:
        return next(iter(files.values()))
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()
