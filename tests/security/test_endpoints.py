"""The pages of a worker: to look at only, on loopback, and not to be worn out by slow callers."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.cli.worker import worker
from gress_ml.engine import http
from gress_ml.engine.http import HttpServer

PAGES = ("/", "/health", "/ready", "/metrics")


_PATIENCE_S = 60.0


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    started = HttpServer("127.0.0.1", 0, PrometheusMetrics(), lambda: {"ready": True})
    await started.start()
    yield started
    await started.stop()


def test_a_worker_listens_on_loopback_unless_told_otherwise() -> None:
    """That a running one does: test_secrets.py; the servers of ``gress dev``: tests/dev."""
    assert inspect.signature(worker).parameters["http_host"].default == "127.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("page", PAGES)
async def test_the_pages_take_nothing(server: HttpServer, method: str, page: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.address + page) as answer,
    ):
        assert answer.status == 405


@pytest.mark.parametrize("page", ["/../etc/passwd", "/health/", "/%2e%2e/x", "/metrics/x"])
async def test_there_are_no_other_pages(server: HttpServer, page: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(server.address + page) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"", b""),
        (b"GET /health HTTP/1.1\r\nHost:", b""),
        (b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b" 405 "),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b" 200 "),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n", b" 400 "),
        (b"not http at all\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n", b" 200 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: \xff\r\n\r\n", b" 405 "),
    ],
)
async def test_a_caller_that_is_slow_silent_or_large_is_let_go(
    monkeypatch: pytest.MonkeyPatch, said: bytes, answer: bytes
) -> None:
    # not so short that one who speaks at once may come too late on a busy machine
    monkeypatch.setattr(http, "_IDLE_S", 1.0)
    monkeypatch.setattr(http, "_REST_S", 0.3)
    server = HttpServer("127.0.0.1", 0, PrometheusMetrics(), lambda: {"ready": True})
    await server.start()
    port = int(server.address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    async with asyncio.timeout(_PATIENCE_S):
        heard = await reader.read()  # until the server closes
    writer.close()
    await server.stop()
    assert answer in heard.partition(b"\r\n")[0]
    assert heard or not answer


async def test_callers_that_stay_take_a_bounded_number_of_places(server: HttpServer) -> None:
    """Each is an open file; without a bound they would take those that Kafka needs."""
    port = int(server.address.rpartition(":")[2])
    before = len(os.listdir("/proc/self/fd"))
    callers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
    async with asyncio.timeout(_PATIENCE_S):
        for reader, _ in callers[http.MOST_CONNECTIONS :]:
            assert await reader.read() == b""  # let go at once
    taken = len(os.listdir("/proc/self/fd")) - before - len(callers)
    assert taken <= http.MOST_CONNECTIONS
    for reader, writer in callers:
        writer.close()
        await reader.read()
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.address + "/health") as answer,
    ):
        assert answer.status == 200


async def test_a_server_that_was_stopped_lets_everybody_go(server: HttpServer) -> None:
    port = int(server.address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readline()
    async with asyncio.timeout(_PATIENCE_S):
        await server.stop()
        await reader.read()
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
