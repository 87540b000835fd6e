"""Line: a connection to Redis on which commands are packed and answers read in one go.

redis-py opens it, with its address, TLS, password and database. What it does for every command
after that, in pools, retries, streams and instruments, takes longer than the answer to a batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError

from gress_ml.adapters.patience import Patience

_MORE = object()  # an answer is not there as a whole
_LOST = "the connection was closed"


class LineLostError(ConnectionError):
    """The server, or the network, has closed the connection."""


class Line(asyncio.Protocol):
    """An open connection: one call at a time."""

    def __init__(self, connection: Any) -> None:
        self._transport: asyncio.Transport = connection.hand_over(self)
        # a line that nobody holds any more would be closed with the writer of its connection
        self._connection = connection
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=_MORE
        )
        self._answers: list[Any] = []
        self._wanted = 0
        self._answered: asyncio.Future[list[Any]] | None = None
        self.open = True

    @property
    def free(self) -> bool:
        """Whether it can take a call."""
        return self.open and self._answered is None

    async def ask(self, commands: bytes, count: int, patience: Patience) -> list[Any]:
        """The answers to so many packed commands, in order; what the server refuses is among them
        as a ``ResponseError``. Raises LineLostError, InvalidResponse, TimeoutError."""
        self._answers, self._wanted = [], count
        self._answered = asyncio.get_running_loop().create_future()
        patience.tell(self._give_up)
        try:
            self._transport.write(commands)
            return await self._answered
        except BaseException:  # what still comes would be taken for the next call's answer
            self.close()
            raise
        finally:
            self._answered = None

    def close(self) -> None:
        """Let go of the connection, at once."""
        self.open = False
        self._transport.abort()
        self._connection.let_go()

    # --- what the event loop tells ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _MORE:
                if not isinstance(answer, hiredis.PushNotification):  # nobody asked for those
                    self._answers.append(answer)
        except InvalidResponse as error:
            self._fail(error)
            return
        waiter = self._answered
        if waiter is not None and len(self._answers) >= self._wanted and not waiter.done():
            waiter.set_result(self._answers)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(LineLostError(_LOST if exc is None else f"{_LOST}: {exc}"))

    def _give_up(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._fail(TimeoutError("no answer in time"))

    def _fail(self, error: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
        self.close()


class Lines:
    """Lines to one server, opened when they are needed."""

    def __init__(self, url: str) -> None:
        """Raises ValueError, whose text may hold the password."""
        self._connections = BlockingConnectionPool.from_url(
            url,
            # whoever asks keeps the limits
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        kind = self._connections.connection_class
        self._connections.connection_class = type("Connection", (_HandedOver, kind), {})
        self._lines: list[Line] = []

    async def ask(self, patience: Patience, commands: bytes, count: int = 1) -> list[Any]:
        """The answers to so many packed commands. Raises RedisError, OSError; ResponseError when
        the server refuses one of them."""
        answers = await self._answers(patience, commands, count)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    async def _answers(self, patience: Patience, commands: bytes, count: int) -> list[Any]:
        for line in self._lines:
            if line.free:
                try:
                    return await line.ask(commands, count, patience)
                except LineLostError:  # it may be from before a restart
                    break
        line = await self._opened(patience)
        return await line.ask(commands, count, patience)

    async def _opened(self, patience: Patience) -> Line:
        connection: Any = self._connections.make_connection()  # type: ignore[no-untyped-call]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as time_up:
                patience.tell(lambda: time_up.reschedule(loop.time()))
                await connection.connect()
        except TimeoutError:
            raise TimeoutError("no connection in time") from None
        line = Line(connection)
        self._lines = [*(line for line in self._lines if line.open), line]
        return line

    def close(self, *, busy: bool = False) -> None:
        """Let go of the lines; of those with a call under way as well, or not."""
        for line in self._lines:
            if busy or line.free:
                line.close()


class _HandedOver:
    """A connection of redis-py whose bytes go to somebody else once it is open."""

    _reader: Any
    _writer: Any

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        transport: asyncio.Transport = self._writer.transport
        transport.set_protocol(protocol)
        return transport

    def let_go(self) -> None:
        self._reader = self._writer = None


def packed(*command: Any) -> bytes:
    """A command for the server."""
    whole: bytes = hiredis.pack_command(command)
    return whole


def packed_keys(name: bytes, start: bytes, keys: Sequence[bytes]) -> bytes:
    """A command about keys that all begin with ``start``, in half the time of ``packed``."""
    sizes = [*map(len, keys)]
    before = {size: b"\r\n$%d\r\n%b" % (len(start) + size, start) for size in {*sizes}}
    parts = [b""] * (2 * len(keys))
    parts[::2] = map(before.__getitem__, sizes)
    parts[1::2] = keys
    return b"*%d\r\n$%d\r\n%b%b\r\n" % (len(keys) + 1, len(name), name, b"".join(parts))
