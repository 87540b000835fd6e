"""Endpoint: one end of the link, a process in a namespace of its own that does what it is told.

Orders and answers are JSON, one a message, on the control socket. The first answer carries the TUN
device. The process ends when the control socket does, and with its parent.

- ``connect``, ``accept``: have this many connections; answers with the nanoseconds it took.
- ``send``: send bytes; answers with the time before the first was handed over.
- ``receive``: read bytes; answers with the time after the last.
- ``drop``: end the connections at once, with nothing left to send again.

Times are of the monotonic clock, which both ends share.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.links.namespaces import NoNamespacesError, end_with_parent, enter
from benchmarks.links.priority import hurry

PORT = 7000
#: No order takes longer; the grid's slowest transfer takes a third.
ORDER_TIMEOUT_S = 120.0
#: Above what runs as usual, below the emulator.
PRIORITY = 10
#: What a stream takes at once, and how much it may hold unsent and still take more: a stream that
#: is slow holds little when the others are done.
_CHUNK_BYTES, _MOST_UNSENT_BYTES = 16 << 10, 32 << 10
_READ_BYTES = 1 << 18
_TCP_NOTSENT_LOWAT = 25
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Endpoint:
    """One end. Orders are methods; each answers with an integer."""

    def __init__(self, own_address: str, other_address: str) -> None:
        self._other = other_address
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server((own_address, PORT), backlog=64)
        self._listener.settimeout(ORDER_TIMEOUT_S)

    def connect(self, streams: int, congestion_control: str) -> int:
        """Open the connections, all at once."""
        start = time.monotonic_ns()
        for _ in range(streams):
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._connections.append(connection)
            name = congestion_control.encode()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if streams > 1:
                connection.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _MOST_UNSENT_BYTES)
            connection.setblocking(False)
            connection.connect_ex((self._other, PORT))
        self._when_ready(selectors.EVENT_WRITE, _connected)
        return time.monotonic_ns() - start

    def accept(self, streams: int) -> int:
        """Take the connections that the other end opens."""
        start = time.monotonic_ns()
        while len(self._connections) < streams:
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._connections.append(connection)
        return time.monotonic_ns() - start

    def send(self, size: int) -> int:
        """Send ``size`` bytes in all: each stream takes the next chunk when it has room."""
        streams = len(self._connections)
        chunk = max(1, min(_CHUNK_BYTES, -(-size // streams)))
        source = memoryview(bytes(chunk))
        rest = size
        part: dict[socket.socket, int] = dict.fromkeys(self._connections, 0)

        def step(connection: socket.socket) -> bool:
            nonlocal rest
            if not part[connection]:
                part[connection] = min(chunk, rest)
                rest -= part[connection]
            if part[connection]:
                part[connection] -= connection.send(source[: part[connection]])
            return not rest and not part[connection]

        start = time.monotonic_ns()
        self._when_ready(selectors.EVENT_WRITE, step)
        return start

    def receive(self, size: int) -> int:
        """Read ``size`` bytes in all."""
        buffer = bytearray(_READ_BYTES)
        left = size

        def step(connection: socket.socket) -> bool:
            nonlocal left
            count = connection.recv_into(buffer)
            left -= count
            if not count and left:
                raise ConnectionError(f"the other end closed with {left} bytes to come")
            return False

        self._when_ready(selectors.EVENT_READ, step, lambda: left <= 0)
        return time.monotonic_ns()

    def drop(self) -> int:
        """End all connections."""
        for connection in self._connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            connection.close()
        self._connections = []
        return 0

    def _when_ready(
        self,
        event: int,
        step: Callable[[socket.socket], bool],
        finished: Callable[[], bool] = lambda: False,
    ) -> None:
        """Step each connection when it is ready, until all say that they are done, or it is."""
        deadline = time.monotonic() + ORDER_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            for connection in self._connections:
                selector.register(connection, event)
            while selector.get_map() and not finished():
                ready = selector.select(deadline - time.monotonic())
                if not ready:
                    raise TimeoutError(f"an order took longer than {ORDER_TIMEOUT_S:.0f} s")
                for key, _ in ready:
                    if step(key.fileobj):  # type: ignore[arg-type]  # only sockets are registered
                        selector.unregister(key.fileobj)


def _connected(connection: socket.socket) -> bool:
    error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise ConnectionError(os.strerror(error))
    return True


def serve(control: socket.socket, own_address: str, other_address: str) -> None:
    """Enter a namespace, hand its device over, then obey until the control socket ends."""
    try:
        device = enter(own_address, other_address)
    except NoNamespacesError as error:
        control.send(json.dumps({"error": str(error)}).encode())
        return
    endpoint = Endpoint(own_address, other_address)
    socket.send_fds(control, [json.dumps({"answer": 0}).encode()], [device])
    os.close(device)
    hurry(PRIORITY)
    while message := control.recv(4096):
        control.send(json.dumps(_obey(endpoint, json.loads(message))).encode())


def _obey(endpoint: Endpoint, order: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": getattr(endpoint, order.pop("do"))(**order)}
    except OSError as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    end_with_parent()
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], sys.argv[3])
