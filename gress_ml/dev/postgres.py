"""PostgreSQL, one server with one database."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gress_ml.dev.folder import complete_or_absent
from gress_ml.dev.port import LOOPBACK
from gress_ml.dev.postgres_binaries import (
    binaries_in,
    copy_binaries,
    postgres_binaries,
    runs_as,
)
from gress_ml.dev.process import Launch
from gress_ml.dev.server import NotAnswering
from gress_ml.dev.settings import POSTGRES_SETTINGS
from gress_ml.errors import ConfigError, GressError

# PostgreSQL refuses to run as root. This account exists on every Unix, so that nothing has to be
# added to the machine, and nothing stays behind.
UNPRIVILEGED = "nobody"
ASIDE = "gress-postgres-"


class Postgres:
    """A real server from the pgserver wheel, or the machine's own.

    Connections from this machine are trusted without a password, and no others are possible.
    """

    name = "postgres"
    kind = "postgres"
    variable = "GRESS_POSTGRES"
    version = ""
    port_count = 1
    patience_s = 90.0
    stop_signal = signal.SIGINT  # fast shutdown: it does not wait for clients to leave
    discard_signal = signal.SIGQUIT  # immediate shutdown: children and shared memory go with it

    def place(self, home: Path) -> Path:
        """Under ``home``, unless we are root and the account that runs it cannot get there."""
        folder = home / self.name
        folder.mkdir(parents=True, exist_ok=True)
        uid = server_uid()
        if uid is None or _can_enter(home, uid):
            return folder
        folder.rmdir()
        aside = Path(tempfile.mkdtemp(prefix=ASIDE))
        aside.chmod(0o711)
        return aside

    def prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        uid = server_uid()
        binaries = _usable_binaries(folder, uid)
        data = folder / "data"
        if data.is_dir():
            return
        draft = folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if uid is not None:
            os.chown(draft, uid, uid)
        _initialise(binaries, draft, uid)
        draft.rename(data)

    def launch(self, folder: Path, ports: Sequence[int], log: Path) -> Launch:
        settings = {
            **POSTGRES_SETTINGS,
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "port": str(ports[0]),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        uid = server_uid()
        binary = _usable_binaries(folder, uid) / "postgres"
        return Launch(
            argv=[str(binary), "-D", str(folder / "data"), *options],
            folder=folder,
            log=log,
            uid=uid,
        )

    def address(self, folder: Path, ports: Sequence[int]) -> str:
        return f"postgresql://postgres@{LOOPBACK}:{ports[0]}/postgres"

    def probe(self, address: str) -> str:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError(
                "expected psycopg, the PostgreSQL driver; install it: "
                "`pip install 'gress-ml[postgres]'`"
            ) from error
        try:
            with psycopg.connect(address, connect_timeout=3) as connection:
                told = connection.execute("show server_version").fetchone()
        except psycopg.Error as error:
            # without its own text, which can quote the address and so a password
            raise NotAnswering(f"PostgreSQL does not answer: {type(error).__name__}") from error
        return str(told[0]).split()[0] if told else ""

    def discard(self, folder: Path) -> None:
        _release_shared_memory(folder / "data" / "postmaster.pid")
        shutil.rmtree(folder, ignore_errors=True)


def server_uid() -> int | None:
    """The account to run PostgreSQL as; None: as the caller."""
    return pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None


def _can_enter(home: Path, uid: int) -> bool:
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(home)],
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return done.returncode == 0


def _usable_binaries(folder: Path, uid: int | None) -> Path:
    """The installed programs, or a copy that the unprivileged account can reach."""
    copies = folder / "programs"
    if copies.is_dir():
        return binaries_in(copies)
    installed = postgres_binaries()
    if runs_as(installed, uid):
        return installed
    with complete_or_absent(copies) as draft:
        copy_binaries(installed, draft)
        draft.chmod(0o755)
    return binaries_in(copies)


def _initialise(binaries: Path, data: Path, uid: int | None) -> None:
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        [
            str(binaries / "initdb"),
            *("-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8"),
            # C: sorts the same on every machine. No sync: a half-written folder is never used.
            *("--locale=C", "--no-sync", "--no-instructions"),
        ],
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GressError(
            f"expected initdb to fill {data}; it ended with {done.returncode}:\n"
            f"{(done.stdout + done.stderr).strip()}"
        )


def _release_shared_memory(lock_file: Path) -> None:
    """A killed server leaves its System V segment on the machine; its number is in line 7."""
    try:
        segment = int(lock_file.read_text().splitlines()[6].split()[1])
    except (OSError, IndexError, ValueError):
        return
    remove = 0  # IPC_RMID, shmctl(2)
    ctypes.CDLL(None).shmctl(segment, remove, None)
