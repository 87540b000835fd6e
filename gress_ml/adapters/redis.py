"""RedisFeatures: a feature store in Redis, one command per batch."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import hiredis
import numpy as np
import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, NoScriptError, RedisError, ResponseError

from gress_ml.adapters.breaker import Breaker
from gress_ml.errors import ConfigError, StoreUnavailable
from gress_ml.ports import Clock, Float32

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Sets all keys with their time to live in one command. Redis replicates what it does, key by key.
_PUT = """
local ttl = ARGV[1]
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ttl) end
return #KEYS
"""
_PUT_SHA = hashlib.sha1(_PUT.encode(), usedforsecurity=False).hexdigest()
_FLOAT = np.dtype("<f4")
#: A worker's loop decides other partitions while an answer is under way. Time passes in so many
#: slices, one per turn of the loop at most, so that an answer which is there is seen before its
#: time is up, however long the turns take.
_SLICES = 10
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
        self._tls = url.startswith("rediss:")
        self._client = _client(url, self._where, self._settings)
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
        full = self._keys(table, fields, keys)
        values = await self._guarded(lambda: cast(Awaitable[Any], self._client.mget(full)))
        return _unpacked(values, len(fields))

    async def put(
        self, table: str, fields: tuple[str, ...], keys: Sequence[bytes], rows: Float32
    ) -> None:
        """Store the rows under their keys; of a key given twice the last row counts."""
        if not keys:
            return
        full, values = self._keys(table, fields, keys), _packed(rows, len(keys), len(fields))
        await self._guarded(lambda: self._put(full, values))

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose(close_connection_pool=True)

    def _keys(self, table: str, fields: tuple[str, ...], keys: Sequence[bytes]) -> list[bytes]:
        start = f"{self._settings.prefix}:{table}:{layout_of(fields)}:".encode()
        return [start + key for key in keys]

    async def _guarded(self, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result. Raises StoreUnavailable, at once while the breaker is open."""
        async with self._free:  # to wait for other partitions' calls is no fault of the server's
            self._breaker.enter()
            try:
                result = await _within(_longest_s(self._settings, self._tls), call())
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                cause = f"{type(error).__name__}: {error}"
                self._breaker.failed(cause)
                log.warning("feature_store_away", store=self._where, cause=cause)
                with suppress(RedisError, OSError):  # one that does not close in time is gone too
                    await self._client.connection_pool.disconnect(inuse_connections=False)
                raise StoreUnavailable(f"feature store {self._where}: {cause}") from error
            self._breaker.succeeded()
            return result

    async def _put(self, keys: list[bytes], values: list[bytes]) -> None:
        ttl_s = self._settings.ttl_s
        if ttl_s is None:
            await self._client.mset(dict(zip(keys, values, strict=True)))
            return
        ttl_ms = max(1, round(ttl_s * 1000))
        if self._scripting and await self._put_by_script(keys, values, ttl_ms):
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for key, value in zip(keys, values, strict=True):
                pipe.set(key, value, px=ttl_ms)
            await pipe.execute()

    async def _put_by_script(self, keys: list[bytes], values: list[bytes], ttl_ms: int) -> bool:
        """False when the server does not allow scripts; it is not asked again then."""
        arguments: list[bytes | int] = [*keys, ttl_ms, *values]
        try:
            try:
                await _awaited(self._client.evalsha(_PUT_SHA, len(keys), *arguments))
            except NoScriptError:
                await _awaited(self._client.eval(_PUT, len(keys), *arguments))
        except NoPermissionError:
            self._scripting = False
        except ResponseError as error:
            if "unknown command" not in str(error).lower():
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


def _client(url: str, where: str, settings: RedisSettings) -> Redis:
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=settings.connections,
            timeout=None,  # the limits are kept by ``_within``
            socket_timeout=None,
            socket_connect_timeout=None,
            # One more try on a fresh connection: the pooled one may be from before a restart.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
    except ValueError:  # its text may hold the password
        raise ConfigError(
            f"feature store {where}: expected a URL such as redis://localhost:6379/0 or rediss://…"
        ) from None
    pool.connection_class = type("Connection", (_PackedAtOnce, pool.connection_class), {})
    return Redis(connection_pool=pool)


class _PackedAtOnce:
    """redis-py packs a command argument by argument, and copies all before it each time: for a
    batch of keys that takes longer than to send it. hiredis packs it in one go."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *rest = args  # a name may be two words
        return [hiredis.pack_command((*name.split(), *rest))]


def _longest_s(settings: RedisSettings, tls: bool) -> float:
    """For a call that has to connect first."""
    return settings.timeout_s + (settings.tls_timeout_s if tls else settings.timeout_s)


async def _within(limit_s: float, call: Awaitable[T]) -> T:
    """The call's result. Raises TimeoutError."""
    task = asyncio.ensure_future(call)
    try:
        for _ in range(_SLICES):
            done, _ = await asyncio.wait({task}, timeout=limit_s / _SLICES)
            if done:
                return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    raise TimeoutError(f"no answer within {limit_s:g} s")


async def _awaited(answer: Any) -> Any:
    """The client's type hints mix its synchronous and asynchronous forms."""
    return await answer


def _packed(rows: Float32, count: int, width: int) -> list[bytes]:
    data = np.ascontiguousarray(rows, _FLOAT).reshape(count, width).tobytes()
    size = width * _FLOAT.itemsize
    return [data[start : start + size] for start in range(0, count * size, size)]


def _unpacked(values: Sequence[bytes | None], width: int) -> Float32:
    """A row of another length is no row of this layout: missing."""
    missing = np.full(width, np.nan, _FLOAT).tobytes()
    size = len(missing)
    data = b"".join([v if v is not None and len(v) == size else missing for v in values])
    return np.frombuffer(data, _FLOAT).reshape(len(values), width).astype(np.float32)
