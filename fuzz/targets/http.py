"""HTTP: odd requests to the pages of a worker."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from http import HTTPStatus
from random import Random
from typing import ClassVar

from fuzz import bytes_mutation
from fuzz.target import Target, require
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.http import HttpServer
from gress_ml.metrics import PREDICTIONS

_GOOD = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
_PATIENCE_S, _LIMIT_S = 0.05, 60.0  # for an odd request, and for a good one
_PATHS = (
    b"/", b"/health", b"/ready", b"/metrics", b"/health/", b"//health", b"/%00", b"/%ff", b"/../..",
    b"*", b"http://x/health", b"/health?x=%zz&y", b"/health#", b"/" + b"a" * 9000, b"\xe9", b"",
)  # fmt: skip
_METHODS = (b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"TRACE", b"G\x00T", b"", b"get")
_HEADERS = (
    b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 5\r\n\r\nab",
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Expect: 100-continue", b"Expect: x", b"Upgrade: websocket\r\nConnection: upgrade",
    b"Accept-Encoding: gzip, br;q=x", b"Range: bytes=9-1", b"If-None-Match: *", b"Host: \xff",
    b"Host: a\r\nHost: b", b"X: " + b"y" * 9000, b" folded", b"no colon", b": ", b"Cookie: a=\xe9;",
)  # fmt: skip


class Http(Target):
    """One input is what a client sends on one connection."""

    name: ClassVar[str] = "http"
    law: ClassVar[str] = "No request is answered with 500, and the server lives."

    def __init__(self) -> None:
        metrics = PrometheusMetrics()
        metrics.record(PREDICTIONS, 1.0, ("model", "1.0.0", "success"))
        self._server = HttpServer("127.0.0.1", 0, metrics, lambda: {"ready": True})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result()
        host, _, port = self._server.address.removeprefix("http://").partition(":")
        self._place = (host, int(port))

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def seeds(self) -> Sequence[bytes]:
        return [_GOOD, b"GET /metrics HTTP/1.0\r\n\r\n", b"POST /ready HTTP/1.1\r\n\r\n"]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        if random.random() < 0.4:
            return bytes_mutation.mutated(random.choice(pool), random, pool)
        version = random.choice((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"HTTP/1.1\r", b""))
        line = b" ".join((random.choice(_METHODS), random.choice(_PATHS), version))
        headers = random.sample(_HEADERS, random.choice((0, 0, 1, 2)))
        return b"\r\n".join((line, b"Host: x", *headers, b"Connection: close", b"", b""))

    def check(self, data: bytes) -> str:
        answer = self._sent(data, _PATIENCE_S)
        status = _status(answer)
        require(status < HTTPStatus.INTERNAL_SERVER_ERROR, f"no server error: {answer[:200]!r}")
        alive = self._sent(_GOOD, _LIMIT_S)
        require(alive.startswith(b"HTTP/1.1 200"), f"the server lives: {alive[:200]!r}")
        return status.phrase

    def _sent(self, data: bytes, wait_s: float) -> bytes:
        """The first that the server answers."""
        with socket.create_connection(self._place, _LIMIT_S) as connection:
            connection.settimeout(wait_s)
            try:
                connection.sendall(data)
                return connection.recv(1 << 16)
            except OSError:  # it hangs up, or waits for more
                return b""


def _status(answer: bytes) -> HTTPStatus:
    """The status; 100 where there is no answer yet."""
    _, _, rest = answer.partition(b" ")
    return HTTPStatus(int(rest[:3])) if answer.startswith(b"HTTP/") else HTTPStatus.CONTINUE
