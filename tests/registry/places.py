"""Where a registry of a test is, and a hand in it that is not the registry's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gress_ml.registry import Limits, ModelFile, Registry, Storage, open_storage


class Place:
    """Where a registry is, and a hand in it that is not the registry's."""

    def __init__(self, address: str, cache: Path) -> None:
        self.address = address
        self.storage: Storage = open_storage(address)
        self._cache = cache

    def registry(
        self,
        files: Sequence[ModelFile] = (),
        limits: Limits | None = None,
        storage: Any = None,
    ) -> Registry:
        """A registry as another process has it; ``storage`` in place of the own one."""
        opened = storage or open_storage(self.address)
        return Registry(opened, files, limits, self._cache)

    def write(self, path: str, data: bytes) -> None:
        if self.storage.local:
            (self.storage.local / path).parent.mkdir(parents=True, exist_ok=True)
        self.storage._fs.pipe_file(self.storage._at(path), data)

    def read(self, path: str) -> bytes:
        return bytes(self.storage._fs.cat_file(self.storage._at(path)))

    def remove(self, path: str) -> None:
        self.storage.remove(path)

    def edit(self, path: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a JSON file."""
        value = json.loads(self.read(path))
        change(value)
        self.write(path, json.dumps(value).encode())
