"""Structure-aware mutation: a JSON value stays JSON, and a member gets an odd value or is gone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

#: Values at the borders of types and ranges.
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    255,
    2**31,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    2**64,
    10**30,
    10**400,
    -(10**400),
    0.0,
    -0.0,
    0.5,
    1.5,
    1e-320,
    1e300,
    -1e300,
    3.5e38,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "0",
    "NaN",
    "a",
    "a.b",
    "..",
    "../../etc/passwd",
    "\x00",
    "\x1f",
    "\ud800",
    "é",
    "\u202e",
    "𝕏" * 20,
    "x" * 5000,
    "{x}",
    "%s",
    "${HOME}",
    "__class__",
    "__missing__",
    "1970-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999999Z",
    "2026-02-30T00:00:00Z",
    "1h30m",
    "99999999999999999999d",
    [],
    [[]],
    [None],
    [1, "a", None],
    {},
    {"": {}},
    {"a": {"b": 1}},
)

Path = tuple[Any, ...]


def mutated(value: Any, random: Random, words: Sequence[str] = ()) -> Any:
    """A copy with one to three members changed. ``words`` are put in where a text may stand."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _changed(value, random, words)
    return value


def dumped(value: Any, random: Random | None = None) -> bytes:
    """As JSON text; what JSON has no form for (NaN, lone surrogates) is written all the same."""
    ascii_only = random is not None and random.random() < 0.5
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def _changed(value: Any, random: Random, words: Sequence[str]) -> Any:
    paths = [*_paths(value)]
    path = random.choice(paths)
    if not path:
        return value if isinstance(value, dict) and random.random() < 0.9 else _odd(random, words)
    parent = _at(value, path[:-1])
    match random.randrange(8):
        case 0:
            del parent[path[-1]]
        case 1 | 2 if len(paths) > 2:  # as another member of the same value is
            parent[path[-1]] = copy.deepcopy(_at(value, random.choice(paths[1:])))
        case 3:
            _renamed(parent, path[-1], random, words)
        case 4:
            parent[path[-1]] = _wrapped(parent[path[-1]], random)
        case _:
            parent[path[-1]] = _odd(random, words)
    return value


def _renamed(parent: Any, key: Any, random: Random, words: Sequence[str]) -> None:
    if isinstance(parent, list):
        parent.insert(random.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
        return
    name = _odd(random, words)
    parent[name if isinstance(name, str) else f"{key}_"] = parent.pop(key)


def _wrapped(value: Any, random: Random) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return random.choice(
            (value - 1, value + 1, value + 2**32, value - 2**40, value % 2**53 + 0.5)
        )
    if isinstance(value, str) and value:
        at = random.randrange(len(value))
        return value[:at] + random.choice(("", "\x00", "é", value, "-", "1")) + value[at + 1 :]
    depth = random.choice((1, 1, 3, 60))
    for _ in range(depth):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def _odd(random: Random, words: Sequence[str]) -> Any:
    if words and random.random() < 0.4:
        return random.choice(words)
    return copy.deepcopy(random.choice(ODD))


def _paths(value: Any, path: Path = (), depth: int = 0) -> Iterator[Path]:
    yield path
    if depth > 20:
        return
    members = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in members:
        yield from _paths(inner, (*path, key), depth + 1)


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value
