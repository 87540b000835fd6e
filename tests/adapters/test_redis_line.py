"""A line to Redis: what it sends, and how it takes what comes, in whatever pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, ResponseError

from gress_ml.adapters.patience import Patience
from gress_ml.adapters.redis_line import Line, LineLostError, packed, packed_keys

_HOUR_S = 3600.0


class _Wire(asyncio.Transport):
    """The other end: what was sent, and whether it was cut."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []
        self.cut = False

    def write(self, data: Any) -> None:
        self.sent.append(data)

    def abort(self) -> None:
        self.cut = True


class _Connection:
    def __init__(self) -> None:
        self.wire = _Wire()

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        return self.wire

    def let_go(self) -> None:
        pass


async def _asked(line: Line, count: int = 1) -> asyncio.Task[list[Any]]:
    task = asyncio.create_task(line.ask(packed(b"PING"), count, Patience(_HOUR_S)))
    await asyncio.sleep(0)
    return task


_ANSWERS = st.lists(st.none() | st.binary(max_size=20) | st.integers(0, 9), min_size=1, max_size=5)


def _encoded(answer: bytes | int | None) -> bytes:
    match answer:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % answer
        case _:
            return b"$%d\r\n%b\r\n" % (len(answer), answer)


def _pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@given(_ANSWERS, st.lists(st.integers(0, 1000), max_size=6))
def test_answers_are_the_same_however_they_are_cut(answers: list[Any], cuts: list[int]) -> None:
    async def run() -> None:
        line = Line(_Connection())
        asked = await _asked(line, len(answers))
        for piece in _pieces(b"".join(map(_encoded, answers)), cuts):
            assert not asked.done()
            line.data_received(piece)
        assert await asked == answers
        assert line.free

    asyncio.run(run())


async def test_what_nobody_asked_for_is_no_answer() -> None:
    """A server may tell of its maintenance in between."""
    line = Line(_Connection())
    asked = await _asked(line)
    line.data_received(b">2\r\n$6\r\nMOVING\r\n:1\r\n")
    line.data_received(b"+PONG\r\n")
    assert await asked == [b"PONG"]


async def test_a_refusal_is_an_answer_and_the_line_goes_on() -> None:
    line = Line(_Connection())
    asked = await _asked(line, 2)
    line.data_received(b"-OOM too much\r\n+OK\r\n")
    refused, fine = await asked
    assert isinstance(refused, ResponseError)
    assert (str(refused), fine, line.free) == ("OOM too much", b"OK", True)


async def test_a_call_that_is_given_up_takes_its_line_along() -> None:
    """Its answer would be taken for that of the next call."""
    connection = _Connection()
    line = Line(connection)
    asked = await _asked(line)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert connection.wire.cut
    assert not line.free


async def test_time_that_is_up_takes_the_line_along() -> None:
    connection = _Connection()
    line = Line(connection)
    with pytest.raises(TimeoutError, match="no answer in time"):
        await line.ask(packed(b"PING"), 1, Patience(0.0))
    assert connection.wire.cut
    assert not line.free


@pytest.mark.parametrize("trouble", [None, OSError("reset")])
async def test_a_line_that_is_lost_says_so(trouble: Exception | None) -> None:
    line = Line(_Connection())
    asked = await _asked(line)
    line.connection_lost(trouble)
    with pytest.raises(LineLostError, match="the connection was closed"):
        await asked
    assert not line.free


async def test_what_is_no_answer_of_redis_ends_the_line() -> None:
    line = Line(_Connection())
    asked = await _asked(line)
    line.data_received(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(InvalidResponse):
        await asked
    assert not line.free


@given(st.binary(max_size=8), st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_keys_are_packed_as_hiredis_packs_them(start: bytes, keys: list[bytes]) -> None:
    whole = hiredis.pack_command((b"MGET", *(start + key for key in keys)))
    assert packed_keys(b"MGET", start, keys) == whole
