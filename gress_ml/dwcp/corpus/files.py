"""Text, source and binary files: documents, configuration, code, libraries, compiled modules."""

from __future__ import annotations

import marshal
import warnings
from collections.abc import Iterator, Mapping

from gress_ml.dwcp.corpus.tree import Tree, states_of, tar
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import BINARY, SOURCE, TEXT

_BUILT_FROM = 2  # bytes of source per byte of bytecode, about
_MOST_BUILT = 2 << 20  # bytes of source that are compiled each time


def _texts(wish: Wish) -> Iterator[bytes]:
    picked = wish.pool.pick(TEXT, wish.size, wish.rng)
    yield from states_of(Tree.of(picked, wish.rng), wish.states, tar)


def _sources(wish: Wish) -> Iterator[bytes]:
    picked = wish.pool.pick(SOURCE, wish.size, wish.rng)
    yield from states_of(Tree.of(picked, wish.rng), wish.states, tar)


def _releases(wish: Wish) -> Iterator[bytes]:
    picked = wish.pool.pick(SOURCE, wish.size, wish.rng, versions=2)
    yield from states_of(Tree.of(picked, wish.rng), wish.states, tar)


def _libraries(wish: Wish) -> Iterator[bytes]:
    picked = wish.pool.pick(BINARY, wish.size, wish.rng)
    yield from states_of(Tree.of(picked, wish.rng), wish.states, tar)


def _rebuilt(wish: Wish) -> Iterator[bytes]:
    picked = wish.pool.pick(BINARY, wish.size, wish.rng, versions=2)
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


KINDS = (
    Kind(TEXT, "texts", "documents and configuration of the system, edited", _texts),
    Kind(SOURCE, "sources", "sources of the system and of packages, edited", _sources),
    Kind(SOURCE, "releases", "Python sources in the installed releases", _releases),
    Kind(BINARY, "libraries", "programs and shared libraries of the system", _libraries),
    Kind(BINARY, "rebuilt", "extension modules in the installed builds", _rebuilt),
    Kind(BINARY, "bytecode", "Python modules compiled in the installed releases", _bytecode),
)
