"""Find PostgreSQL's programs."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gress_ml.dev.settings import POSTGRES_LINE
from gress_ml.errors import ConfigError

_WHEEL = Path("pgserver", "pginstall")  # in site-packages


def postgres_binaries() -> Path:
    """The folder with ``initdb`` and ``postgres``; the wheel's first, then the machine's."""
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ConfigError(
        "expected PostgreSQL's initdb and postgres, from the wheel pgserver or on PATH; install "
        f"`pip install 'gress-ml[servers]'` (PostgreSQL {POSTGRES_LINE}) or `apt-get install "
        "postgresql`, or name a running one in GRESS_POSTGRES"
    )


def copy_binaries(installed: Path, target: Path) -> None:
    """Copy the wheel's programs with all that they load, each where the others look for it."""
    site = installed.parents[2]
    shutil.copytree(installed.parent, target / _WHEEL)
    shared = site / "pgserver.libs"  # where the wheel keeps its shared libraries
    if shared.is_dir():
        shutil.copytree(shared, target / shared.name)


def binaries_in(copies: Path) -> Path:
    """The folder with the programs in a copy that ``copy_binaries`` made."""
    return copies / _WHEEL / "bin"


def runs_as(binaries: Path, uid: int | None) -> bool:
    """Whether that account can reach and run them, and load their libraries."""
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [str(binaries / "postgres"), "--version"],
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("pgserver")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parents[1] / _WHEEL / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    # Debian keeps them off PATH, one folder per version
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
