"""Storage: a folder on this machine, in S3 or in Google Cloud Storage, through fsspec.

Object stores have no rename and no locks. What S3, GCS and a POSIX folder all have is to write a
file only where there is none (``create``): all that must be safe against a second writer rests on
it, see decision record 0009.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from gress_ml.atomic import INCOMING, copy_file, create_file
from gress_ml.errors import ConfigError, ModelCorrupt, ModelError, StoreUnavailable

_CHUNK = 1 << 20
#: Packages that serve a scheme, each an extra of the same name.
_DRIVERS = {"s3": ("s3fs", "S3FileSystem"), "gcs": ("gcsfs.core", "GCSFileSystem")}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the machine's role",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS or the machine's service account",
}


class Storage:
    """A folder in an object store. Paths are relative to it, parts joined by ``/``.

    Every method raises StoreUnavailable when the store does not answer, and ModelError when it
    answers that it never will: no such bucket, no right, no credentials.
    """

    #: The folder where it is one on this machine, so that bundles are opened in place.
    local: Path | None = None

    def __init__(self, scheme: str, root: str, filesystem: Any) -> None:
        self._scheme = scheme
        self._root = root
        self._fs = filesystem

    def __str__(self) -> str:
        return f"{'gs' if self._scheme == 'gcs' else self._scheme}://{self._root}"

    def where(self, path: str) -> str:
        """The address of a file, for people."""
        return f"{self}/{path}"

    def files(self, folder: str = "") -> frozenset[str]:
        """All files below a folder, relative to it."""
        place = self._at(folder)
        with self._translated():
            found = self._fs.find(place)
        return frozenset(name.removeprefix(f"{place}/") for name in found)

    def size(self, path: str) -> int | None:
        """Bytes in a file; None when there is none."""
        with suppress(FileNotFoundError), self._translated(missing=True):
            return int(self._fs.info(self._at(path))["size"])
        return None

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """A whole file; None when there is none. Raises ModelCorrupt when it is larger."""
        size = self.size(path)
        if size is None:
            return None
        if size > max_bytes:
            raise ModelCorrupt(
                f"{self.where(path)}: expected at most {max_bytes} bytes, found {size}."
            )
        with suppress(FileNotFoundError), self._translated(missing=True):
            return bytes(self._fs.cat_file(self._at(path)))
        return None

    def fetch(self, path: str, target: Path, max_bytes: int) -> None:
        """Copy a file to this machine. Raises ModelCorrupt when it is missing or larger."""
        size = self.size(path)
        if size is None:
            raise ModelCorrupt(f"{self.where(path)}: expected a file, found none.")
        if size > max_bytes:
            raise ModelCorrupt(
                f"{self.where(path)}: expected at most {max_bytes} bytes, found {size}."
            )
        with (
            self._translated(),
            target.open("wb") as file,
            self._fs.open(self._at(path), "rb", cache_type="none") as source,
        ):
            left = size  # whoever makes the file longer meanwhile does not fill the disk
            while left and (chunk := source.read(min(_CHUNK, left))):
                file.write(chunk)
                left -= len(chunk)

    def create(self, path: str, data: bytes) -> bool:
        """Write a file where there is none, in one step; False when there is another one.

        S3: ``If-None-Match: *``; GCS: ``ifGenerationMatch=0``. A request that is sent again because
        its answer was lost finds its own file, which counts as written.
        """
        try:
            with self._translated():
                self._fs.pipe_file(self._at(path), data, mode="create")
        except FileExistsError:
            return self.size(path) == len(data) and self.read(path, len(data)) == data
        return True

    def put(self, source: Path, path: str) -> None:
        """Write a file, whatever is there."""
        with self._translated():
            self._fs.put_file(str(source), self._at(path))

    def remove(self, path: str) -> None:
        """Take a file away, if there is one."""
        with suppress(FileNotFoundError), self._translated(missing=True):
            self._fs.rm_file(self._at(path))

    # --- inside -----------------------------------------------------------------------------------

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def _translated(self, *, missing: bool = False) -> Iterator[None]:
        """No exception of a client library leaves, but for the two that are answers."""
        try:
            yield
        except FileExistsError:
            raise
        except FileNotFoundError as error:
            if missing:
                raise
            raise ModelError(f"{self}: there is no such bucket ({error}).") from error
        except PermissionError as error:
            self._refused(error)
        except Exception as error:
            # botocore and google.auth have trees of their own: what matters is in the name
            if "Credentials" in type(error).__name__:
                self._refused(error)
            raise StoreUnavailable(
                f"{self} does not answer: {type(error).__name__}: {error}"
            ) from error

    def _refused(self, error: Exception) -> NoReturn:
        raise ModelError(
            f"{self}: access was refused ({type(error).__name__}: {error}). Credentials come from "
            f"the environment: {_CREDENTIALS[self._scheme]}."
        ) from error


class Folder(Storage):
    """A folder on this machine. A file is there whole or not at all, also after a power cut."""

    local: Path

    def __init__(self, root: Path) -> None:
        driver: Any = importlib.import_module("fsspec.implementations.local").LocalFileSystem
        super().__init__("file", str(root.absolute()), driver(skip_instance_cache=True))
        self.local = root

    def __str__(self) -> str:
        return str(self.local)

    def files(self, folder: str = "") -> frozenset[str]:
        """Files at most three levels down: a loop of links has no end."""
        place = self.local / folder
        with self._translated(missing=True):
            return frozenset(_files(place, 3))

    def create(self, path: str, data: bytes) -> bool:
        """A hard link to what was written whole: it fails where there is a file (link(2))."""
        with self._translated(missing=True):
            return create_file(self._ready(path), data)

    def put(self, source: Path, path: str) -> None:
        """Write a file, in one step."""
        with self._translated(missing=True):
            copy_file(source, self._ready(path))

    def _ready(self, path: str) -> Path:
        target = self.local / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _refused(self, error: Exception) -> NoReturn:
        raise ModelError(f"{self}: access was refused ({error}).") from error


def open_storage(address: str | Path, region: str | None = None) -> Storage:
    """A folder, ``s3://bucket/folder`` or ``gs://bucket/folder``. Raises ConfigError.

    Credentials, and another endpoint than the provider's, come from the environment alone
    (``AWS_ENDPOINT_URL``, ``STORAGE_EMULATOR_HOST``).
    """
    scheme, separator, rest = str(address).partition("://")
    if isinstance(address, Path) or not separator:
        return Folder(Path(address))
    scheme = {"gs": "gcs"}.get(scheme, scheme)
    root = rest.strip("/")
    if scheme not in _DRIVERS or not root or {"..", ".", ""} & {*root.split("/")}:
        raise ConfigError(
            f"{str(address)!r} is not the address of a registry: expected a folder, "
            "s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"
        )
    return Storage(scheme, root, _filesystem(scheme, region))


def _filesystem(scheme: str, region: str | None) -> Any:
    module, name = _DRIVERS[scheme]
    try:
        driver: Any = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(
            f"a registry in {scheme} needs a package that is not installed: "
            f"pip install 'gress-ml[{scheme}]'"
        ) from error
    # a listing that is remembered would hide what others publish
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme == "s3" and region:
        options["client_kwargs"] = {"region_name": region}
    if scheme == "gcs" and os.environ.get("STORAGE_EMULATOR_HOST"):
        options["token"] = "anon"  # noqa: S105 - an emulator knows no credentials
    return driver(**options)


def _files(folder: Path, levels: int, prefix: str = "") -> Iterator[str]:
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in paths:
        if path.name.startswith(INCOMING):
            continue
        if levels > 1 and path.is_dir():
            yield from _files(path, levels - 1, f"{prefix}{path.name}/")
        else:
            yield f"{prefix}{path.name}"
