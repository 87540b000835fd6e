"""Proxy: a network between clients and one server, which can be slow, cut or silent.

The law: clients see a network, never the proxy. On each connection the bytes arrive complete and
in order, or the connection ends; nothing is dropped, doubled or reordered on the way.

Kafka's clients go where the broker tells them to: the broker must advertise the proxy's port, as
those of ``cluster`` do on their second listener.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine
from typing import Self

from gress_ml.dev.port import LOOPBACK

_CHUNK = 16 * 1024  # small, so that a slow line trickles
_UNDER_WAY = 64  # chunks that have left and not arrived, per connection and direction
_RST = struct.pack("ii", 1, 0)  # SO_LINGER without time: closing sends RST, not FIN (socket(7))
_PATIENCE_S = 10.0


class Proxy:
    """Passes connections to ``listen_port`` on to ``target_port``, both on loopback.

    It runs in a thread of its own. Its methods may be called from any other thread and return
    when the change holds. A server that is away shows as connections that are reset at once::

        with Proxy(listen_port=20001, target_port=20000) as network:
            network.slow(latency_ms=50, bytes_per_s=1_000_000)
            network.stall()
            network.heal()
    """

    def __init__(self, listen_port: int, target_port: int) -> None:
        self._ports = listen_port, target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._there, self._back = _Line(), _Line()
        self._open: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    def slow(self, latency_ms: float = 0.0, bytes_per_s: float = math.inf) -> None:
        """Each way takes ``latency_ms`` more; all connections share ``bytes_per_s`` each way."""
        self._run(self._slow(latency_ms / 1000, bytes_per_s))

    def cut(self) -> None:
        """Reset all connections and refuse new ones until ``heal``."""
        self._run(self._cut())

    def stall(self) -> None:
        """Let no byte pass until ``heal``, as a network that loses every packet.

        Connections stay and hang, new ones as well; neither side learns that the other has
        closed. What is sent meanwhile arrives after ``heal``: TCP would send it again.
        """
        self._run(self._stall())

    def heal(self) -> None:
        """As at the start: open and quick. What was held back arrives."""
        self._run(self._heal())

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.heal()
        except BaseException:  # the port is not free
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, change: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(change, self._loop).result(_PATIENCE_S)

    async def _slow(self, latency_s: float, bytes_per_s: float) -> None:
        for line in (self._there, self._back):
            line.set(latency_s, bytes_per_s)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._open:
            connection.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _stall(self) -> None:
        self._passing.clear()

    async def _heal(self) -> None:
        await self._slow(0.0, math.inf)
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, LOOPBACK, self._ports[0])

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        connection = self._loop.create_task(self._connect(reader, writer))
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, from its first byte to its end."""
        ends, clean = [writer], False
        try:
            await self._passing.wait()
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._ports[1])
            ends.append(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, far_writer, self._there))
                both.create_task(self._carry(far_reader, writer, self._back))
            clean = True
        except* OSError:
            pass  # one end was reset, or is not there: so it is for the other
        finally:
            for end in ends:
                _close(end, reset=not clean)

    async def _carry(self, source: StreamReader, sink: StreamWriter, line: _Line) -> None:
        """One direction of a connection."""
        way: _Way = asyncio.Queue(_UNDER_WAY)
        async with asyncio.TaskGroup() as both:
            both.create_task(_send(source, line, way))
            both.create_task(self._deliver(way, sink))

    async def _deliver(self, way: _Way, sink: StreamWriter) -> None:
        while True:
            arrival, news = await way.get()
            await _until(arrival)
            await self._passing.wait()
            if isinstance(news, OSError):
                raise news
            if not news:
                sink.write_eof()
                return
            sink.write(news)
            await sink.drain()


#: What is under way, with the moment of its arrival: bytes, the end (no bytes) or a reset.
_Way = asyncio.Queue[tuple[float, bytes | OSError]]


class _Line:
    """One direction of the network: how long a chunk takes."""

    def __init__(self) -> None:
        self.set(0.0, math.inf)

    def set(self, latency_s: float, bytes_per_s: float) -> None:
        self.latency_s = latency_s
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    def sent_at(self, now: float, size: int) -> float:
        """When the last byte of a chunk has left. Chunks leave one after the other."""
        self._free_at = max(self._free_at, now) + size / self._bytes_per_s
        return self._free_at


async def _send(source: StreamReader, line: _Line, way: _Way) -> None:
    """Put what comes on its way, no quicker than the line takes it."""
    now = asyncio.get_running_loop().time
    news: bytes | OSError = b"..."
    while news and not isinstance(news, OSError):
        try:
            news = await source.read(_CHUNK)
            await _until(line.sent_at(now(), len(news)))
        except OSError as error:
            news = error
        await way.put((now() + line.latency_s, news))


async def _until(moment: float) -> None:
    left = moment - asyncio.get_running_loop().time()
    if left > 0:
        await asyncio.sleep(left)


def _close(end: StreamWriter, reset: bool) -> None:
    if reset and not end.is_closing():
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        end.transport.abort()
    end.close()
