"""Text, source and binary files: documents, configuration, code, libraries, compiled modules."""

from __future__ import annotations

import marshal
import warnings
from collections.abc import Iterator, Mapping
from functools import partial

from gress_ml.dwcp.corpus.tree import Tree, states_of, tar
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import BINARY, SOURCE, TEXT

_BUILT_FROM = 2  # bytes of source per byte of bytecode, about
_MOST_BUILT = 2 << 20  # bytes of source that are compiled each time


def _tree(wish: Wish, payload_class: str, versions: int) -> Iterator[bytes]:
    """Files of a class that are there in at least so many versions, as one archive."""
    picked = wish.pool.pick(payload_class, wish.size, wish.rng, versions=versions)
    yield from states_of(Tree.of(picked, wish.rng), wish.states, tar)


def _bytecode(wish: Wish) -> Iterator[bytes]:
    """Modules compiled by this Python from each version of their sources that it understands."""
    size = min(_MOST_BUILT, _BUILT_FROM * wish.size)
    picked = wish.pool.pick(SOURCE, size, wish.rng, versions=2)
    picked = [one for one in picked if one.paths[0].suffix == ".py"]
    yield from states_of(Tree.of(picked, wish.rng), wish.states, _compiled)


def _compiled(files: Mapping[str, bytes]) -> bytes:
    return b"".join(_compile(name, source) for name, source in files.items())


def _compile(name: str, source: bytes) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old sources hold escapes that are warned of today
        try:
            return marshal.dumps(compile(source, name, "exec", dont_inherit=True))
        except (SyntaxError, ValueError):
            return b""


def _trees(payload_class: str, name: str, origin: str, versions: int = 1) -> Kind:
    make = partial(_tree, payload_class=payload_class, versions=versions)
    return Kind(payload_class, name, origin, make)


KINDS = (
    _trees(TEXT, "texts", "documents and configuration of the system, edited"),
    _trees(SOURCE, "sources", "sources of the system and of packages, edited"),
    _trees(SOURCE, "releases", "Python sources in the installed releases", versions=2),
    _trees(BINARY, "libraries", "programs and shared libraries of the system"),
    _trees(BINARY, "rebuilt", "extension modules in the installed builds", versions=2),
    Kind(BINARY, "bytecode", "Python modules compiled in the installed releases", _bytecode),
)
