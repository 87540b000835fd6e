"""A real Redis with a password behind a door with TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from secure_kafka import HOST, PATIENCE_S, Certificates, settled

from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.dev.redis import redis_binary

REDIS_PASSWORD = "redis-Password-1702"


class TlsRedis:
    """A Redis and the door before it: the wheel's server has no TLS itself."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates.made_in(folder / "certificates")
        self._folder = folder
        self._door, self._inner = free_ports(2)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, ca: Path | None = None, host: str = HOST, password: str = REDIS_PASSWORD) -> str:
        trusted = ca or self.certificates.ca
        return f"rediss://:{password}@{host}:{self._door}/0?ssl_ca_certs={trusted}"

    def start(self) -> TlsRedis:
        self._process = subprocess.Popen(
            [
                *(str(redis_binary()), "--port", str(self._inner), "--bind", LOOPBACK),
                *("--save", "", "--dir", str(self._folder), "--requirepass", REDIS_PASSWORD),
            ],
            stdout=subprocess.DEVNULL,
        )
        self._wait()
        self._thread.start()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificates.server)
        opening = asyncio.start_server(self._serve, LOOPBACK, self._door, ssl=context)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(PATIENCE_S)
        return self

    def stop(self) -> None:
        """End what was started, also where the rest did not come up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(PATIENCE_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
        self._loop.close()

    def _wait(self) -> None:
        """Wait until Redis answers."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with suppress(OSError):
                socket.create_connection((LOOPBACK, self._inner), timeout=1).close()
                return
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)

    async def _close(self) -> None:
        if hasattr(self, "_server"):
            self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await settled()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection(LOOPBACK, self._inner)
        await asyncio.gather(_pour(reader, to_redis), _pour(from_redis, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
