"""RedisFeatures: a feature store in Redis, one command per batch."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import structlog
from redis.exceptions import RedisError, ResponseError

from gress_ml.adapters.breaker import Breaker
from gress_ml.adapters.patience import Patience
from gress_ml.adapters.redis_line import Lines, packed, packed_keys
from gress_ml.errors import ConfigError, StoreUnavailable
from gress_ml.ports import Clock, Float32

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Sets all keys with their time to live in one command. Redis replicates what it does, key by key.
_PUT = b"""
local ttl = ARGV[1]
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ttl) end
return #KEYS
"""
_PUT_SHA = hashlib.sha1(_PUT, usedforsecurity=False).hexdigest().encode()
_FLOAT = np.dtype("<f4")
_UNREADABLE = "with an unreadable URL"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """How to reach the server and how long to wait for it."""

    prefix: str = "gress"
    ttl_s: float | None = None  # None keeps rows for ever
    timeout_s: float = 0.02  # to connect, and for the answer
    tls_timeout_s: float = 0.25  # to connect with TLS: it takes more round trips, and certificates
    backoff_s: float = 0.5  # after a failure; doubles up to longest_backoff_s
    longest_backoff_s: float = 10.0
    connections: int = 8


class RedisFeatures:
    """A ``FeatureStore``: each row is one string of little-endian float32.

    Its key is ``prefix:table:layout:key``, where ``layout`` is a digest of the field names: rows
    written with other fields are not found, never misread. When the server does not answer, calls
    fail at once for a back-off period, and go on by themselves when it is back. A batch goes to
    one server: Redis Cluster is not supported.
    """

    def __init__(self, url: str, clock: Clock, settings: RedisSettings | None = None) -> None:
        self._settings = settings or RedisSettings()
        self._where = redacted(url)
        tls, own = url.startswith("rediss:"), self._settings
        #: For a call that has to connect first.
        self._longest_s = own.timeout_s + (own.tls_timeout_s if tls else own.timeout_s)
        self._lines = _lines(url, self._where)
        self._breaker = Breaker(
            f"feature store {self._where}",
            clock,
            self._settings.backoff_s,
            self._settings.longest_backoff_s,
        )
        self._free = asyncio.Semaphore(self._settings.connections)
        self._scripting = True

    def __repr__(self) -> str:
        return f"RedisFeatures({self._where!r})"

    async def fetch(self, table: str, fields: tuple[str, ...], keys: Sequence[bytes]) -> Float32:
        """Rows of shape (len(keys), len(fields)); NaN where there is no row."""
        if not keys:
            return np.empty((0, len(fields)), np.float32)
        command = packed_keys(b"MGET", self._start(table, fields), keys)
        [values] = await self._guarded(lambda patience: self._lines.ask(patience, command))
        return _unpacked(values, len(fields))

    async def put(
        self, table: str, fields: tuple[str, ...], keys: Sequence[bytes], rows: Float32
    ) -> None:
        """Store the rows under their keys; of a key given twice the last row counts."""
        if not keys:
            return
        start = self._start(table, fields)
        full, values = [start + key for key in keys], _packed(rows, len(keys), len(fields))
        await self._guarded(lambda patience: self._put(patience, full, values))

    async def close(self) -> None:
        """Let go of connections."""
        self._lines.close(busy=True)

    def _start(self, table: str, fields: tuple[str, ...]) -> bytes:
        return f"{self._settings.prefix}:{table}:{layout_of(fields)}:".encode()

    async def _guarded(self, call: Callable[[Patience], Awaitable[T]]) -> T:
        """The call's result. Raises StoreUnavailable, at once while the breaker is open."""
        async with self._free:  # to wait for other partitions' calls is no fault of the server's
            self._breaker.enter()
            patience = Patience(self._longest_s)
            try:
                result = await call(patience)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                cause = f"{type(error).__name__}: {error}"
                self._breaker.failed(cause)
                log.warning("feature_store_away", store=self._where, cause=cause)
                self._lines.close()
                raise StoreUnavailable(f"feature store {self._where}: {cause}") from error
            finally:
                patience.end()
            self._breaker.succeeded()
            return result

    async def _put(self, patience: Patience, keys: list[bytes], values: list[bytes]) -> None:
        ttl_s = self._settings.ttl_s
        pairs = [*zip(keys, values, strict=True)]
        if ttl_s is None:
            await self._lines.ask(patience, packed(b"MSET", *chain.from_iterable(pairs)))
            return
        ttl_ms = max(1, round(ttl_s * 1000))
        if self._scripting and await self._put_by_script(patience, keys, values, ttl_ms):
            return
        commands = [packed(b"SET", key, value, b"PX", ttl_ms) for key, value in pairs]
        await self._lines.ask(patience, b"".join(commands), len(commands))

    async def _put_by_script(
        self, patience: Patience, keys: list[bytes], values: list[bytes], ttl_ms: int
    ) -> bool:
        """False when the server does not allow scripts; it is not asked again then."""
        arguments: list[bytes | int] = [len(keys), *keys, ttl_ms, *values]
        try:
            try:
                await self._lines.ask(patience, packed(b"EVALSHA", _PUT_SHA, *arguments))
            except ResponseError as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
                await self._lines.ask(patience, packed(b"EVAL", _PUT, *arguments))
        except ResponseError as error:
            if not str(error).startswith(("NOPERM", "ERR unknown command")):
                raise
            self._scripting = False
        return self._scripting


def redacted(url: str) -> str:
    """The URL without its user, password and query.

    Of one in which a password was written with a bare ``/``, ``?`` or ``#`` nothing is shown: what
    looks like its host is the beginning of the password.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return _UNREADABLE
    if "@" in parts.path + parts.query + parts.fragment:
        return _UNREADABLE
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


@lru_cache(maxsize=256)
def layout_of(fields: tuple[str, ...]) -> str:
    """A short digest of the field names in their order."""
    return hashlib.sha256("\0".join(fields).encode()).hexdigest()[:12]


def _lines(url: str, where: str) -> Lines:
    try:
        return Lines(url)
    except ValueError:  # its text may hold the password
        raise ConfigError(
            f"feature store {where}: expected a URL such as redis://localhost:6379/0 or rediss://…"
        ) from None


def _packed(rows: Float32, count: int, width: int) -> list[bytes]:
    data = np.ascontiguousarray(rows, _FLOAT).reshape(count, width).tobytes()
    size = width * _FLOAT.itemsize
    return [data[start : start + size] for start in range(0, count * size, size)]


def _unpacked(values: Sequence[Any], width: int) -> Float32:
    """A row of another length is no row of this layout: missing."""
    size = width * _FLOAT.itemsize
    try:  # nearly always all rows are there
        whole = {*map(len, values)} == {size}
    except TypeError:
        whole = False
    if not whole:
        missing = np.full(width, np.nan, _FLOAT).tobytes()
        values = [v if v is not None and len(v) == size else missing for v in values]
    return np.frombuffer(b"".join(values), _FLOAT).reshape(len(values), width).astype(np.float32)
