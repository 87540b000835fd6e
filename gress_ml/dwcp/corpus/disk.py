"""Disk: a volume of real files in 4 KiB blocks, as a disk image holds them, that is written to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gress_ml.dwcp.corpus.tree import Tree
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import ARCHIVE, BINARY, LOG, PAGE, SOURCE, TEXT, VM_DISK

_MIX = {TEXT: 0.25, SOURCE: 0.25, BINARY: 0.35, ARCHIVE: 0.1, LOG: 0.05}
_FREE_SHARE = 0.15  # of the volume, at first


@dataclass(slots=True)
class Volume:
    """Blocks, and which of them each file has. What is freed keeps its bytes until used again."""

    image: bytearray
    _free: list[int] = field(init=False)
    _blocks: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._free = list(range(len(self.image) // PAGE - 1, -1, -1))

    def write(self, name: str, data: bytes) -> None:
        """The file's content from now on: its own blocks first, then free ones, lowest first."""
        blocks = self._blocks.pop(name, [])
        needed = -(-len(data) // PAGE)
        self._free += reversed(blocks[needed:])
        blocks = blocks[:needed]
        while len(blocks) < needed:
            if not self._free:
                self._grow()
            blocks.append(self._free.pop())
        for at, block in enumerate(blocks):
            piece = data[at * PAGE : (at + 1) * PAGE]
            self.image[block * PAGE : (block + 1) * PAGE] = piece.ljust(PAGE, b"\0")
        self._blocks[name] = blocks

    def blocks(self, name: str) -> list[int]:
        """The numbers of the file's blocks, in their order; none for no such file."""
        return list(self._blocks.get(name, ()))

    def remove(self, name: str) -> None:
        """The file's blocks are free."""
        self._free += reversed(self._blocks.pop(name, []))

    def _grow(self) -> None:
        self._free.append(len(self.image) // PAGE)
        self.image += bytes(PAGE)


def _volume(wish: Wish) -> Iterator[bytes]:
    """Files of all kinds; then some go to their next version, some are deleted, some come."""
    rng = wish.rng
    # Twice what is needed: half is there at first, of the rest some comes with each state.
    picked = [
        one
        for kind, share in _MIX.items()
        for one in wish.pool.pick(kind, int(2 * share * wish.size), rng)
    ]
    order = rng.permutation(len(picked)).tolist()
    half = -(-len(order) // 2)
    tree = Tree.of([picked[at] for at in order[:half]], rng)
    waiting = Tree.of([picked[at] for at in order[half:]], rng).files
    size = sum(-(-len(data) // PAGE) for data in tree.files.values())
    volume = Volume(bytearray(PAGE * int(size / (1.0 - _FREE_SHARE))))
    for name, data in tree.files.items():
        volume.write(name, data)
    share = float(rng.beta(1.0, 6.0))
    for number in range(wish.states if tree.files else 0):
        if number:
            _work(volume, tree, waiting, share)
        yield bytes(volume.image)


def _work(volume: Volume, tree: Tree, waiting: dict[str, bytes], share: float) -> None:
    for name in tree.step(share):
        volume.write(name, tree.files[name])
    rng = tree.rng
    for name in list(tree.files)[1:]:
        if rng.random() < share / 4.0:
            volume.remove(name)
            tree.remove(name)
    for name in list(waiting):
        if rng.random() < share / 4.0:
            volume.write(name, waiting.pop(name))


KINDS = (Kind(VM_DISK, "volume", "files of the system in 4 KiB blocks, written to", _volume),)
