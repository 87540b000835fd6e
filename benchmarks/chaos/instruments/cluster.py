"""Cluster: Kafka of several brokers on this machine, each of which can end by itself.

The laws: of three brokers any one may be away and nothing stops; what was acknowledged to
``acks=all`` outlives every kill, as it is on two brokers at least. A broker that comes back has
its ports and its data. ``down`` leaves nothing, not even of a former run that was killed.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from benchmarks.chaos.instruments.cluster_settings import JVM, Ports, broker_settings
from benchmarks.chaos.instruments.cluster_view import NO_BROKER, View, wait_until
from gress_ml.dev.kafka_node import KafkaNode
from gress_ml.dev.port import LOOPBACK, free_ports
from gress_ml.dev.process import alive, end, memory_bytes, spawn
from gress_ml.dev.record import Record, read_records, write_records
from gress_ml.errors import GressError

_PATIENCE_S = 120.0
_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where a ``Proxy(door.listen_port, door.target_port)`` stands before one broker."""

    listen_port: int
    target_port: int


class Cluster:
    """Brokers 1 to ``size``, each a controller as well, with all they have in ``folder``.

    Clients that use ``bootstrap`` see the brokers themselves. Those that use
    ``proxied_bootstrap`` see them through the proxies that the caller sets up at ``doors``. With
    ``size=1`` it is one broker behind a proxy. All methods block; ask for them from a thread
    where an event loop must go on::

        with Cluster(folder) as cluster:
            cluster.kill(2)
            cluster.start(2)
            cluster.wait_in_sync()
    """

    def __init__(self, folder: Path, size: int = 3) -> None:
        self.folder = folder.absolute()
        self.numbers = range(1, size + 1)

    def __enter__(self) -> Self:
        self.down()
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def bootstrap(self) -> str:
        """The brokers, as they are."""
        return _addresses(ports.clients for ports in self._ports().values())

    @property
    def proxied_bootstrap(self) -> str:
        """The brokers, through the network."""
        return _addresses(ports.proxy for ports in self._ports().values())

    @property
    def doors(self) -> tuple[Door, ...]:
        """One for each broker, in the order of their numbers."""
        return tuple(Door(ports.proxy, ports.behind_proxy) for ports in self._ports().values())

    def up(self) -> str:
        """Start what does not run; the bootstrap, once all brokers are in sync."""
        if not read_records(self.folder):
            self._place()
        with ThreadPoolExecutor(len(self.numbers)) as pool:
            list(pool.map(lambda number: self._node(number).prepare(), self.numbers))
        for number in self.numbers:
            self._spawn(number)
        self.wait_in_sync()
        return self.bootstrap

    def stop(self, number: int) -> None:
        """End a broker in good order: others lead its partitions before it leaves."""
        self._end(number, signal.SIGTERM)

    def kill(self, number: int) -> None:
        """kill -9 of a broker; the others miss it when its session ends, after 4 s."""
        self._end(number, signal.SIGKILL)

    def start(self, number: int) -> None:
        """Start a broker again on its ports and data; return when it takes requests."""
        self._spawn(number)
        bootstrap = _addresses([self._ports()[number].clients])
        if not wait_until(bootstrap, lambda seen: number in seen.brokers, _PATIENCE_S):
            raise GressError(self._told(number))

    def restart(self, number: int) -> None:
        """One step of a rolling update: stop, start, and wait until all are in sync."""
        self.stop(number)
        self.start(number)
        self.wait_in_sync()

    def wait_in_sync(self) -> None:
        """Return when all brokers are there and have all records: now any one may go."""
        if not wait_until(self.bootstrap, self._in_sync, _PATIENCE_S):
            raise GressError("\n".join(map(self._told, self.numbers)))

    def wait_until_known(self, topics: Collection[str]) -> None:
        """Return when every broker has heard of these topics and of who leads them.

        Brokers hear of a new topic one after the other, and clients ask any of them.
        """
        for number, ports in self._ports().items():

            def known(seen: View) -> bool:
                led = {topic for (topic, _), leader in seen.leaders.items() if leader != NO_BROKER}
                return led.issuperset(topics)

            if not wait_until(_addresses([ports.clients]), known, _PATIENCE_S):
                raise GressError(f"expected broker {number} to know {', '.join(topics)}")

    def leader(self, topic: str, partition: int, *, other_than: int = NO_BROKER) -> int:
        """The broker that leads a partition, once there is one ``other_than`` this.

        Waits: whichever broker answers may not yet have heard of a new topic or a new leader.
        """
        led = (topic, partition)
        found = [NO_BROKER]

        def known(seen: View) -> bool:
            found.append(seen.leaders.get(led, NO_BROKER))
            return found[-1] not in (NO_BROKER, other_than)

        if not wait_until(self.bootstrap, known, _PATIENCE_S):
            raise GressError(
                f"expected a leader of {topic}-{partition} other than {other_than} within "
                f"{_PATIENCE_S:.0f} s; the last that the brokers named is {found[-1]}"
            )
        return found[-1]

    def memory_bytes(self) -> int:
        """Resident memory of all brokers."""
        return sum(memory_bytes(record.process) for record in read_records(self.folder).values())

    def down(self) -> None:
        """End all brokers and remove what they have."""
        for record in read_records(self.folder).values():
            end(record.process, signal.SIGKILL, _GRACE_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = iter(free_ports(len(Ports._fields) * len(self.numbers)))
        records = {
            _name(number): Record(
                kind="kafka",
                folder=str(self.folder / _name(number)),
                ports=tuple(next(ports) for _ in Ports._fields),
            )
            for number in self.numbers
        }
        write_records(self.folder, records)

    def _ports(self) -> dict[int, Ports]:
        records = read_records(self.folder)
        return {number: Ports(*records[_name(number)].ports) for number in self.numbers}

    def _node(self, number: int) -> KafkaNode:
        folder = self.folder / _name(number)
        return KafkaNode(folder, broker_settings(folder / "data", self._ports(), number))

    def _log(self, number: int) -> Path:
        return self.folder / f"{_name(number)}.log"

    def _spawn(self, number: int) -> None:
        records = read_records(self.folder)
        record = records[_name(number)]
        if alive(record.process):
            return
        process = spawn(self._node(number).launch(self._log(number), *JVM))
        started = msgspec.structs.replace(record, pid=process.pid, birth=process.birth)
        write_records(self.folder, {**records, _name(number): started})

    def _end(self, number: int, how: signal.Signals) -> None:
        end(read_records(self.folder)[_name(number)].process, how, _GRACE_S)

    def _in_sync(self, seen: View) -> bool:
        return seen.in_sync and seen.brokers == set(self.numbers)

    def _told(self, number: int) -> str:
        log = self._log(number)
        end_of_log = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        return f"expected broker {number} to be in sync; the end of {log}:\n{end_of_log}"


def _name(number: int) -> str:
    return f"broker-{number}"


def _addresses(ports: Iterable[int]) -> str:
    return ",".join(f"{LOOPBACK}:{port}" for port in ports)
