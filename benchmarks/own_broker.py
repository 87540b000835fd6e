"""A broker of the benchmark's own, which ends with it: topics are emptied there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.topics import Topics
from gress_ml.dev.servers import Servers


class Ground(NamedTuple):
    """Where something is measured: a folder, servers in it, and the topics of their broker."""

    home: Path
    servers: Servers
    topics: Topics


@contextmanager
def own_broker() -> Iterator[Ground]:
    """A folder and a broker until the block is left."""
    os.environ.pop("GRESS_KAFKA", None)  # never a broker that others use
    with tempfile.TemporaryDirectory(prefix="gress-bench-") as folder:
        home = Path(folder)
        servers = Servers(home / "servers")
        try:
            # nothing here holds on to a client: one whose broker is gone would complain
            yield Ground(home, servers, Topics(servers.up(["kafka"]).kafka))
        finally:
            servers.down()
