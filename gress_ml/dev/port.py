"""Free TCP ports for servers that keep theirs over a restart."""

from __future__ import annotations

import errno
import random
import socket
import threading

from gress_ml.errors import GressError

LOOPBACK = "127.0.0.1"

# Below the range that Linux hands out to outgoing connections (32768 and up). From inside that
# range a client which retries a stopped server on loopback can be given the very port that it
# calls, connects to itself, and keeps the server from coming back.
LOWEST = 20_000
HIGHEST = 32_000

# A server listens on its port only seconds after it was told which: until then the port looks free.
_given: set[int] = set()
_giving = threading.Lock()  # servers start in parallel


def free_ports(count: int) -> tuple[int, ...]:
    """``count`` different ports that nobody listens on now, none of them given out before."""
    found: list[int] = []
    with _giving:
        for _ in range(1000):
            if len(found) == count:
                _given.update(found)
                return tuple(found)
            port = random.randrange(LOWEST, HIGHEST)  # noqa: S311 - not a secret
            if port not in found and port not in _given and is_free(port):
                found.append(port)
    raise GressError(f"expected {count} free ports between {LOWEST} and {HIGHEST}, found none left")


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as servers do: connections of a former server that fade out do not count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
