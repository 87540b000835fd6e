"""Environment: where the peers are installed, apart from the project's own packages.

Quix Streams asks for older releases of confluent-kafka and pydantic than the project is tested
with, so the peers have a virtual environment of their own in ``build/peers``. The packages that
they share with the project (NumPy, ONNX Runtime, msgspec, orjson) have the same versions in both.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "peers"
PYTHON = FOLDER / "bin" / "python"
CONSTRAINTS = Path(__file__).parent / "constraints.txt"
_STAMP = FOLDER / "installed"
_PATIENCE_S = 900.0


class PeersError(Exception):
    """They could not be installed; says why."""


def installed() -> bool:
    """Whether the environment is there, and what is wanted now."""
    return _STAMP.is_file() and _STAMP.read_text() == _wanted()


def install() -> None:
    """Make the environment anew. Raises PeersError."""
    try:
        _run(sys.executable, "-m", "venv", "--clear", str(FOLDER))
        _run(
            *(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--constraint", str(CONSTRAINTS), "--editable", f"{ROOT}[peers]"),
        )
    except (subprocess.SubprocessError, OSError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        raise PeersError(
            f"the peers could not be installed in {FOLDER}: {detail[-500:]}"
        ) from error
    _STAMP.write_text(_wanted())


def peer_version(package: str) -> str:
    """The version of a package in the peers' environment."""
    places = [str(place) for place in FOLDER.glob("lib/*/site-packages")]
    found: list[Distribution] = list(distributions(name=package, path=places))
    if found:
        return found[0].version
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _wanted() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["peers"]]
    text = "\n".join([sys.version, *asked, CONSTRAINTS.read_text()])
    return hashlib.sha256(text.encode()).hexdigest()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, text=True, timeout=_PATIENCE_S)
