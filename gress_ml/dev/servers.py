"""Start, find and end the servers of one home folder.

The laws: ``up`` twice is one set of servers; a server that died comes back on its port with its
data; ``down`` leaves nothing; a server named in the environment is used and never touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gress_ml.dev.kafka import Kafka
from gress_ml.dev.lock import home_lock
from gress_ml.dev.mock_kafka import MockKafka
from gress_ml.dev.port import free_ports
from gress_ml.dev.postgres import Postgres
from gress_ml.dev.process import alive, end, memory_bytes, spawn
from gress_ml.dev.record import Record, read_records, write_records
from gress_ml.dev.redis import Redis
from gress_ml.dev.server import NotAnswering, Server
from gress_ml.errors import ConfigError, GressError

NAMES = ("kafka", "redis", "postgres")
_KINDS: dict[str, Server] = {
    server.kind: server for server in (Kafka(), MockKafka(), Redis(), Postgres())
}

GRACE_S = 30.0  # for a server that writes its data out before it ends
EXTERNAL_PATIENCE_S = 10.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where clients find the servers; empty for one that was not asked for and does not run."""

    kafka: str = ""  # bootstrap servers, host:port
    redis: str = ""  # redis://…
    postgres: str = ""  # postgresql://…


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One line of ``gress dev status``."""

    name: str
    kind: str
    version: str
    address: str  # may hold a password: print it only redacted
    pid: int  # 0: not ours, or not running
    memory_bytes: int
    state: str  # running | died | stopped | not started | external; or (external,) not answering


def home_from_environment() -> Path:
    """GRESS_HOME, or ``.gress`` in the current directory."""
    return Path(os.environ.get("GRESS_HOME") or ".gress").absolute()


class Servers:
    """The servers of one home folder. Cheap to make; several may stand for the same folder."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = (home or home_from_environment()).absolute()
        self._record_lock = threading.Lock()  # servers start in parallel

    def up(self, only: Iterable[str] | None = None, *, mock_kafka: bool = False) -> Addresses:
        """Start what does not run, and return when all answer.

        ``only``: names out of kafka, redis, postgres; all when not given.
        """
        wanted = _checked(only)
        kinds = {name: "mock-kafka" if mock_kafka and name == "kafka" else name for name in wanted}
        with home_lock(self.home):
            self._all_up([_KINDS[kind] for kind in kinds.values()])
            records = read_records(self.home)
        return Addresses(**{name: _address(name, records.get(name)) for name in NAMES})

    def addresses(self) -> Addresses:
        """Where the servers are that run now."""
        records = read_records(self.home)
        return Addresses(**{name: _address(name, records.get(name)) for name in NAMES})

    def status(self) -> list[ServerStatus]:
        """How each server is now. Starts, changes and waits for nothing."""
        records = read_records(self.home)
        with ThreadPoolExecutor(len(NAMES)) as pool:
            return list(pool.map(lambda name: _status(name, records.get(name)), NAMES))

    def stop(self, name: str, *, kill: bool = False) -> None:
        """Stop one server and keep its port and data; ``kill``: as a crash would (SIGKILL)."""
        (name,) = _checked([name])
        with home_lock(self.home):
            record = self._own_record(name)
            server = _KINDS[record.kind]
            end(record.process, signal.SIGKILL if kill else server.stop_signal, GRACE_S)
            self._save(name, msgspec.structs.replace(record, pid=0, birth=""))

    def start(self, name: str) -> str:
        """Start one server again on its port and data; its address."""
        (name,) = _checked([name])
        with home_lock(self.home):
            (address,) = self._all_up([_KINDS[self._own_record(name).kind]])
            return address

    def down(self, *, keep_data: bool = False) -> None:
        """End all servers that were started here. Without ``keep_data`` nothing is left."""
        if not self.home.is_dir():
            return
        with home_lock(self.home):
            records = read_records(self.home)
            with ThreadPoolExecutor(len(NAMES)) as pool:
                list(pool.map(lambda record: _end(record, keep_data), records.values()))
            if keep_data:
                resting = {
                    name: msgspec.structs.replace(record, pid=0, birth="")
                    for name, record in records.items()
                }
                write_records(self.home, resting)
            else:
                self._remove_home(records)

    def _all_up(self, servers: Sequence[Server]) -> list[str]:
        """In threads: they start side by side, and callers may be inside an event loop."""
        with ThreadPoolExecutor(max_workers=len(NAMES)) as pool:
            futures = [pool.submit(self._up, server) for server in servers]
        errors = [error for future in futures if (error := future.exception())]
        if len(errors) > 1:
            raise GressError("\n\n".join(str(error) for error in errors)) from errors[0]
        if errors:
            raise errors[0]
        return [future.result() for future in futures]

    def _up(self, server: Server) -> str:
        record = read_records(self.home).get(server.name)
        external = _external(server, record)
        if external:
            _wait_for_external(server, external)
            return external
        if record is not None and record.kind != server.kind:
            self._give_way(record, server)
            record = None
        if record is None or not alive(record.process):
            record = self._spawn(server, record)
        return self._wait_until_ready(server, record)

    def _give_way(self, record: Record, server: Server) -> None:
        """A stand-in that does not run makes place; one that runs is never replaced silently."""
        if alive(record.process):
            raise ConfigError(
                f"expected {server.kind}, but {record.kind} runs in {self.home}; "
                "end it with `gress dev down` first"
            )
        _KINDS[record.kind].discard(Path(record.folder))

    def _spawn(self, server: Server, former: Record | None) -> Record:
        place = former or self._placed(server)
        folder = Path(place.folder)
        try:
            server.prepare(folder)
        except BaseException:
            if former is None:  # nothing is left of a server that never was
                server.discard(folder)
                self._forget(server.name)
            raise
        process = spawn(server.launch(folder, place.ports, self._log(server)))
        record = msgspec.structs.replace(
            place,
            pid=process.pid,
            birth=process.birth,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._save(server.name, record)  # before it answers: `down` must find it in any case
        return record

    def _placed(self, server: Server) -> Record:
        """A place for a new server. Noted before it is filled: `down` must find it in any case."""
        folder = server.place(self.home)
        record = Record(server.kind, str(folder), free_ports(server.port_count))
        self._save(server.name, record)
        return record

    def _wait_until_ready(self, server: Server, record: Record) -> str:
        deadline = time.monotonic() + server.patience_s
        folder = Path(record.folder)
        while True:
            try:
                address = server.address(folder, record.ports)
                version = server.probe(address) or server.version
                break
            except NotAnswering as error:
                if not alive(record.process) or time.monotonic() > deadline:
                    raise self._did_not_come_up(server, record) from error
            time.sleep(POLL_S)
        self._save(server.name, msgspec.structs.replace(record, version=version, address=address))
        return address

    def _did_not_come_up(self, server: Server, record: Record) -> GressError:
        what = "it died" if not alive(record.process) else f"not within {server.patience_s:.0f} s"
        end(record.process, server.discard_signal, GRACE_S)
        log = self._log(server)
        where = f" on port {record.ports[0]}" if record.ports else ""
        return GressError(
            f"expected {server.kind} to answer{where}; {what}. "
            f"`gress dev down` clears everything away. The end of {log}:\n{_tail(log)}"
        )

    def _log(self, server: Server) -> Path:
        return self.home / f"{server.kind}.log"

    def _own_record(self, name: str) -> Record:
        record = read_records(self.home).get(name)
        variable = _KINDS[name].variable
        if _external(_KINDS[name], record):
            raise ConfigError(
                f"{name} is the one named in {variable}, which was not started here and is not "
                f"touched; unset {variable} to use one of our own"
            )
        if record is None:
            raise ConfigError(
                f"{name} was not started in {self.home}; start it with `gress dev up`"
            )
        return record

    def _save(self, name: str, record: Record) -> None:
        with self._record_lock:
            write_records(self.home, {**read_records(self.home), name: record})

    def _forget(self, name: str) -> None:
        with self._record_lock:
            records = read_records(self.home)
            del records[name]
            write_records(self.home, records)

    def _remove_home(self, records: Mapping[str, Record]) -> None:
        """Only what we made: the folder may hold other things of the user's."""
        if "kafka" in records:
            # Snapshots name offsets of the log that is removed here. In the next log those
            # offsets mean other records, and a worker would restore a state that never was.
            shutil.rmtree(self.home / "checkpoints", ignore_errors=True)
        for kind in _KINDS:
            shutil.rmtree(self.home / kind, ignore_errors=True)
            (self.home / f"{kind}.log").unlink(missing_ok=True)
        for name in ("servers.json", "servers.json.new", "lock"):
            (self.home / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            self.home.rmdir()


def _checked(only: Iterable[str] | None) -> list[str]:
    names = list(NAMES) if only is None else list(only)
    unknown = sorted(set(names) - set(NAMES))
    if unknown or not names:
        raise ConfigError(
            f"expected names out of {', '.join(NAMES)}; got {', '.join(unknown) or 'none'}"
        )
    return names


def _status(name: str, record: Record | None) -> ServerStatus:
    external = _external(_KINDS[name], record)
    if external:
        version, state = _ask(_KINDS[name], external, "external", "external, not answering")
        return ServerStatus(name, "external", version, external, 0, 0, state)
    if record is None:
        return ServerStatus(name, name, "", "", 0, 0, "not started")
    if not alive(record.process):
        state = "died" if record.pid else "stopped"
        return ServerStatus(name, record.kind, record.version, record.address, 0, 0, state)
    _, state = _ask(_KINDS[record.kind], record.address, "running", "not answering")
    memory = memory_bytes(record.process)
    return ServerStatus(
        name, record.kind, record.version, record.address, record.pid, memory, state
    )


def _ask(server: Server, address: str, good: str, bad: str) -> tuple[str, str]:
    try:
        return server.probe(address), good
    except NotAnswering:
        return "", bad


def _external(server: Server, record: Record | None) -> str:
    """The server that the environment names, unless that is the one that was started here."""
    named = os.environ.get(server.variable, "")
    return "" if record is not None and named == record.address else named


def _address(name: str, record: Record | None) -> str:
    external = _external(_KINDS[name], record)
    if external:
        return external
    return record.address if record is not None and alive(record.process) else ""


def _wait_for_external(server: Server, address: str) -> None:
    deadline = time.monotonic() + EXTERNAL_PATIENCE_S
    while True:
        try:
            server.probe(address)
        except NotAnswering as error:
            if time.monotonic() > deadline:
                raise GressError(
                    f"expected the {server.name} server named in {server.variable} to answer; "
                    f"start it, or unset {server.variable} to use one of our own"
                ) from error
        else:
            return
        time.sleep(POLL_S)


def _end(record: Record, keep_data: bool) -> None:
    server = _KINDS[record.kind]
    end(record.process, server.stop_signal if keep_data else server.discard_signal, GRACE_S)
    if not keep_data:
        server.discard(Path(record.folder))


def _tail(log: Path, lines: int = 20) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"
