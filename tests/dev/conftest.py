"""These tests start servers of their own, whatever the environment names."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gress_ml.dev.servers import Servers


@pytest.fixture(autouse=True)
def _no_external_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRESS_KAFKA", "GRESS_REDIS", "GRESS_POSTGRES", "GRESS_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def own() -> Iterator[Servers]:
    """Servers of this test alone, none of them started."""
    folder = Path(tempfile.mkdtemp(prefix="gress-dev-"))
    servers = Servers(folder / "home")
    try:
        yield servers
    finally:
        servers.down()
        shutil.rmtree(folder)
