"""Health, readiness and metrics over HTTP, on loopback unless told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from gress_ml.adapters.prometheus import PrometheusMetrics

Status = Callable[[], Mapping[str, Any]]

#: A connection that asks for nothing, or does not come to the end of its question, is closed.
_IDLE_S = 30.0
#: How long the rest of a request is read that nobody wants, such as a body.
_REST_S = 1.0
_METHODS = ("GET", "HEAD")
#: Connections at once; each is an open file, of which Kafka and Redis need theirs.
MOST_CONNECTIONS = 64


class HttpServer:
    """``/health``: the process is alive. ``/ready``: partitions assigned, models loaded, caught up.

    ``ready`` answers a mapping with the member ``ready``; it is the body of both pages.
    """

    def __init__(self, host: str, port: int, metrics: PrometheusMetrics, status: Status) -> None:
        self._host = host
        self._port = port
        self._metrics = metrics
        self._status = status
        self._pages: Mapping[str, Callable[[], web.Response]] = {
            "/": self._index,
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._page,
        }
        self._runner: web.ServerRunner | None = None
        self._listener: asyncio.Server | None = None
        self.address = ""

    async def start(self) -> None:
        """Listen; port 0 takes a free one, ``address`` tells which. Raises OSError."""
        server = web.Server(
            self._answer, access_log=None, keepalive_timeout=_IDLE_S, lingering_time=_REST_S
        )
        self._runner = web.ServerRunner(server, handle_signals=False)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connected, self._host, self._port)
        host, port = self._listener.sockets[0].getsockname()[:2]
        self.address = f"http://{host}:{port}"

    async def stop(self) -> None:
        listener, self._listener = self._listener, None
        runner, self._runner = self._runner, None
        if listener is not None:
            listener.close()
        if runner is not None:
            await runner.cleanup()

    def _connected(self) -> asyncio.Protocol:
        """Who comes when all places are taken is let go at once."""
        server = None if self._runner is None else self._runner.server
        if server is None or len(server.connections) >= MOST_CONNECTIONS:
            return _LetGo()
        return server()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        """Headers play no part: an ``Expect`` may be answered by the page at once (RFC 9110)."""
        page = self._pages.get(request.path)
        if page is None:
            return web.Response(status=404, text=f"404: there are {' '.join(self._pages)}\n")
        if request.method not in _METHODS:
            headers = {"Allow": ", ".join(_METHODS)}
            return web.Response(status=405, headers=headers, text="405: GET or HEAD\n")
        return page()

    def _index(self) -> web.Response:
        return web.Response(text="".join(f"{page}\n" for page in self._pages if page != "/"))

    def _health(self) -> web.Response:
        return web.json_response({**self._status(), "alive": True})

    def _ready(self) -> web.Response:
        status = self._status()
        return web.json_response(status, status=200 if status["ready"] else 503)

    def _page(self) -> web.Response:
        headers = {"Content-Type": PrometheusMetrics.content_type}
        return web.Response(body=self._metrics.page(), headers=headers)


class _LetGo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
