"""ModelStore: a registry of a storm's own, in a folder or in an S3 that can be out of reach.

It holds the shipped selector in two versions that answer differently, the first as champion.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import s3fs

from benchmarks.chaos.instruments.proxy import Proxy
from benchmarks.chaos.instruments.unavailable import Unavailable
from benchmarks.chaos.subject import MODEL, PROJECT, VERSIONS
from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.registry import Registry
from gress_ml.registry.storage import Storage, open_storage

_SHIPPED = PROJECT / "models" / MODEL / "1.0.0"
_BUCKET = "chaos"
_UP_S = 60.0
#: So much the network of the second version sees its features closer to their mean.
_STRETCHED = 1.5


class ModelStore:
    """Up inside ``with``; ``distant`` puts it into moto's S3, behind a proxy that can be cut."""

    def __init__(self, folder: Path, *, distant: bool) -> None:
        self._folder = folder
        self._distant = distant
        self._life = ExitStack()
        self._line: Proxy | None = None
        #: For the workers: how they reach it.
        self.environment: Mapping[str, str] = {}
        self.registry: Registry

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)
        with ExitStack() as life:
            place = self._s3(life) if self._distant else self._folder / "models"
            self.registry = Registry(place, cache=self._folder / "own-cache")
            for version, stretched in zip(VERSIONS, (1.0, _STRETCHED), strict=True):
                files = self._files(version, stretched)
                self.registry.push(files, MODEL, version)
            self.point(VERSIONS[0])
            self._life = life.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._life.close()

    @property
    def block(self) -> Mapping[str, Any]:
        """``ml.model_registry`` of a topology."""
        if self._distant:
            return {"type": "s3", "s3_bucket": _BUCKET, "base_path": "models"}
        return {"base_path": str(self._folder / "models")}

    def point(self, version: str) -> None:
        """Make a version the champion."""
        self.registry.alias(MODEL, "champion", version)

    def cut(self) -> None:
        """Nobody but ourselves reaches it."""
        assert self._line is not None
        self._line.cut()

    def heal(self) -> None:
        assert self._line is not None
        self._line.heal()

    def _files(self, version: str, stretched: float) -> Path:
        files = self._folder / f"files-{version}"
        shutil.copytree(_SHIPPED, files)
        (files / "manifest.json").unlink()
        scaler = files / "feature_scaler.json"
        said = json.loads(scaler.read_text())
        said["scale"] = [value * stretched for value in said["scale"]]
        scaler.write_text(json.dumps(said))
        return files

    def _s3(self, life: ExitStack) -> Storage:
        port, door = free_ports(2)
        life.enter_context(_moto(port))
        self._line = life.enter_context(Proxy(door, port))
        keys = {"AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos"}
        common = {**keys, "AWS_DEFAULT_REGION": "us-east-1"}
        cache = {"GRESS_CACHE": str(self._folder / "cache")}
        url = f"http://{LOOPBACK}:{{}}"
        self.environment = {**common, **cache, "AWS_ENDPOINT_URL": url.format(door)}
        own = {**common, "AWS_ENDPOINT_URL": url.format(port)}
        life.enter_context(_environment(own))
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir(_BUCKET)
        return open_storage(f"s3://{_BUCKET}/models")


@contextmanager
def _moto(port: int) -> Iterator[None]:
    command = [sys.executable, "-W", "ignore", "-c", "from moto.server import main; main()"]
    server = subprocess.Popen(
        [*command, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, server)
        yield
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _UP_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((LOOPBACK, port), timeout=0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Unavailable("moto's S3 did not come up: pip install 'gress-ml[dev]'")


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
