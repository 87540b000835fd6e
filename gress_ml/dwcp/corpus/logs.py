"""Logs: the machine's own, and those that programs of ours write while they work, as they grow."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import cycle

from gress_ml.dwcp.corpus.pool import Lineage
from gress_ml.dwcp.corpus.wish import Kind, Wish
from gress_ml.dwcp.payloads import BINARY, LOG, SOURCE, TEXT

_FIRST_SHARE = 0.5  # of a log that is there at first
_MODULES = "asyncio json sqlite3 email http.server xml.dom unittest decimal ctypes logging numpy"
_READ = 2048  # bytes of a file that a request looks at


def _growing(log: bytes, wish: Wish) -> Iterator[bytes]:
    """The log as it was while it was written: whole lines, longer each time."""
    growth = wish.rng.dirichlet([1.0] * max(1, wish.states - 1)) * (1.0 - _FIRST_SHARE)
    length = _FIRST_SHARE
    for more in [0.0, *growth.tolist()]:
        length += more
        yield log[: log.rfind(b"\n", 0, int(length * len(log)) + 1) + 1] or log


def _machine(wish: Wish) -> Iterator[bytes]:
    for lineage in wish.pool.pick(LOG, 1, wish.rng)[:1]:
        for log in lineage.versions():
            yield from _growing(log[-max(wish.size, 1 << 16) :], wish)


def _service(form: str, wish: Wish) -> Iterator[bytes]:
    """A service hands out files and says so, line by line; its times are real."""
    files = [
        one for kind in (TEXT, SOURCE, BINARY) for one in wish.pool.pick(kind, 1 << 20, wish.rng)
    ]
    if files:
        yield from _growing(_serve(files, form, wish), wish)


def _serve(files: list[Lineage], form: str, wish: Wish) -> bytes:
    heads = [(one.key, one.size, _head(one)) for one in files[:500]]
    lines: list[str] = []
    written = 0
    for at in cycle(wish.rng.zipf(1.3, 5000).tolist()):
        name, size, head = heads[at % len(heads)]
        start = time.perf_counter_ns()
        digest, packed = hashlib.sha256(head).hexdigest(), len(zlib.compress(head, 1))
        spent = (time.perf_counter_ns() - start) / 1e3
        lines.append(_line(form, name, size, digest, packed, spent))
        written += len(lines[-1])
        if written >= wish.size:
            return "".join(lines).encode()
    return b""


def _head(lineage: Lineage) -> bytes:
    return next(lineage.versions(), b"")[:_READ]


def _line(form: str, name: str, size: int, digest: str, packed: int, spent_us: float) -> str:
    now = datetime.now(UTC)
    if form == "access":
        when = now.strftime("%d/%b/%Y:%H:%M:%S +0000")
        return (
            f'10.0.0.{packed % 256} - - [{when}] "GET /{name} HTTP/1.1" 200 {size} {spent_us:.0f}\n'
        )
    if form == "json":
        fields = {"timestamp": now.isoformat(), "level": "info", "event": "served", "file": name}
        return json.dumps({**fields, "bytes": size, "sha256": digest, "us": spent_us}) + "\n"
    level = "WARNING slow" if spent_us > 100 else "INFO served"
    return (
        f"{now:%Y-%m-%d %H:%M:%S,%f} {level} {name} ({size} bytes, {packed} packed) {digest[:12]}\n"
    )


def _imports(wish: Wish) -> Iterator[bytes]:
    """What Python says about each module that it loads."""
    modules = wish.rng.permutation(_MODULES.split())[: int(wish.rng.integers(3, 11))]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-v", "-c", ";".join(f"import {name}" for name in modules)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    yield from _growing(done.stderr, wish)


KINDS = (
    Kind(LOG, "machine", "logs of the system, growing", _machine),
    Kind(LOG, "imports", "Python's log of imports, growing", _imports),
    *(
        Kind(LOG, form, f"a service's log, {form} lines, growing", partial(_service, form))
        for form in ("plain", "json", "access")
    ),
)
