"""What is known about the servers of one home folder, on disk as ``servers.json``."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from gress_ml.dev.process import ProcessId
from gress_ml.errors import ConfigError


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One server: enough to find it, to end it, and to start it again in its place."""

    kind: str  # e.g. ``kafka`` or ``mock-kafka``
    folder: str  # its data
    ports: tuple[int, ...]
    pid: int = 0  # 0: stopped on purpose
    birth: str = ""
    started: str = ""  # RFC 3339, for people
    version: str = ""
    address: str = ""

    @property
    def process(self) -> ProcessId:
        return ProcessId(self.pid, self.birth)


def read_records(home: Path) -> dict[str, Record]:
    """By server name; empty when nothing was ever started here."""
    path = home / "servers.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Record])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{path} is not a list of servers as this version writes it ({error}); end the "
            f"servers that it names by hand, then remove {home}"
        ) from error


def write_records(home: Path, records: dict[str, Record]) -> None:
    """Replace the file in one step: a reader sees the old list or the new one."""
    draft = home / "servers.json.new"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(records), indent=2) + b"\n")
    os.replace(draft, home / "servers.json")
