"""Raw mutation: bytes flipped, cut, doubled, moved and mixed, whatever they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

#: What parsers stumble over.
TOKENS: tuple[bytes, ...] = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\r\n",
    b"\\ud800",
    b"\\u0000",
    b"NaN",
    b"Infinity",
    b"-",
    b"1e400",
    b"-0.0",
    b"9" * 25,
    b"1" * 5000,
    b"[" * 200,
    b"[" * 20000,
    b'{"a":' * 200,
    b"{}",
    b"null",
    b"true",
    b'""',
    b"\x80\x05",
    b"\xc1",
    b"\xdf\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff" * 8,
)
MAX_BYTES = 1 << 16

Mutation = Callable[[bytearray, Random], None]


def mutated(data: bytes, random: Random, pool: Sequence[bytes] = ()) -> bytes:
    """The bytes after one to four mutations."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        random.choice(_MUTATIONS)(out, random)
    if pool and random.random() < 0.1:
        out = _spliced(out, random.choice(pool), random)
    return bytes(out[:MAX_BYTES]) if len(data) <= MAX_BYTES else bytes(out)


def _place(data: bytearray, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.choice((1, 1, 2, 4, 8, 40, 300)))


def _flip(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _overwrite(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice((0, 1, 127, 128, 255, 10, 34, 123))


def _integer(data: bytearray, random: Random) -> None:
    """A little-endian integer somewhere, as lengths and offsets of binary files are."""
    size = random.choice((2, 4, 8))
    if len(data) >= size:
        at = random.randrange(len(data) - size + 1)
        value = random.choice(
            (0, 1, -1, 2**31 - 1, -(2**31), 2**16, len(data), random.getrandbits(12))
        )
        data[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")


def _truncate(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data) + 1) :]


def _remove(data: bytearray, random: Random) -> None:
    start, end = _place(data, random)
    del data[start:end]


def _double(data: bytearray, random: Random) -> None:
    start, end = _place(data, random)
    data[start:start] = data[start:end] * random.choice((1, 1, 2, 50))


def _move(data: bytearray, random: Random) -> None:
    start, end = _place(data, random)
    part = data[start:end]
    del data[start:end]
    at = random.randrange(len(data) + 1)
    data[at:at] = part


def _insert(data: bytearray, random: Random) -> None:
    start, end = _place(data, random)
    data[start : random.choice((start, end))] = random.choice(TOKENS)


def _noise(data: bytearray, random: Random) -> None:
    start, end = _place(data, random)
    data[start:end] = random.randbytes(end - start)


def _spliced(data: bytearray, other: bytes, random: Random) -> bytearray:
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


_MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _flip,
    _overwrite,
    _integer,
    _truncate,
    _remove,
    _double,
    _move,
    _insert,
    _insert,
    _noise,
)
