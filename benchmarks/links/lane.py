"""Lane: two endpoints in namespaces of their own, and the emulated link between them."""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from benchmarks.links.emulator import Counts, Emulator, Shape
from benchmarks.links.endpoint import ORDER_TIMEOUT_S
from benchmarks.links.namespaces import MTU, ROOT, NoNamespacesError
from benchmarks.links.priority import Schedule, current, hurry

#: Real-time priority of the process that forwards: above the endpoints', for it must be on time.
PRIORITY = 20
_ADDRESSES = ("10.0.0.1", "10.0.0.2")
#: Packets read from one device before the other gets its turn.
_AT_ONCE = 32
_LONGEST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Sighting:
    """One transfer as it was seen."""

    transfer_ms: float  # from before the first byte is sent to after the last is read
    connect_ms: float  # from the first SYN to the last connection
    late_us: float  # 99th percentile of how much after its time a packet was handed on
    forth: Counts  # packets of data


@dataclass(slots=True)
class Lane:
    """A link to try things on. Use as a context manager; everything ends with it.

    Raises NoNamespacesError on entry where the machine cannot make one.
    """

    _ends: list[_End] = field(default_factory=list)
    _late_ns: array[int] = field(default_factory=lambda: array("q"))
    _usual: Schedule | None = None

    def __enter__(self) -> Lane:
        try:
            for own, other in (_ADDRESSES, _ADDRESSES[::-1]):
                self._ends.append(_End(own, other))
            for end in self._ends:
                end.meet()
        except BaseException:
            self.close()
            raise
        self._usual = current()
        hurry(PRIORITY)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End both endpoints, and with them their namespaces."""
        if self._usual:
            self._usual.apply()
            self._usual = None
        for end in self._ends:
            end.close()
        self._ends = []

    def transfer(
        self, forth: Shape, back: Shape, size: int, streams: int, congestion_control: str, seed: int
    ) -> Sighting:
        """Open connections, then send ``size`` bytes over them from one end to the other."""
        wires = (Emulator(forth, seed), Emulator(back, seed + 1))
        self._begin()
        with _no_garbage_collection():
            connect_ns, _ = self._exchange(
                wires,
                {"do": "connect", "streams": streams, "congestion_control": congestion_control},
                {"do": "accept", "streams": streams},
            )
            before = Counts(**_fields(wires[0].counts))
            start_ns, end_ns = self._exchange(
                wires, {"do": "send", "size": size}, {"do": "receive", "size": size}
            )
            self._exchange(wires, {"do": "drop"}, {"do": "drop"})
        return Sighting(
            transfer_ms=(end_ns - start_ns) / 1e6,
            connect_ms=connect_ns / 1e6,
            late_us=_percentile(self._late_ns, 0.99) / 1e3,
            forth=_less(wires[0].counts, before),
        )

    def ceiling_mbps(self) -> float:
        """What the emulator forwards at most: a transfer over a link without delay or limit."""
        without_limit = Shape(delay_ms=0.0, rate_mbps=1e6, queue_bytes=1 << 30)
        size = 16 << 20
        seen = self.transfer(without_limit, without_limit, size, 1, "cubic", seed=0)
        return size * 8 / 1e3 / seen.transfer_ms

    def _begin(self) -> None:
        """Forget what is left of the transfer before."""
        for end in self._ends:
            while end.read_packet() is not None:
                pass
        del self._late_ns[:]

    def _exchange(self, wires: tuple[Emulator, Emulator], *orders: dict[str, Any]) -> list[int]:
        """Give each end its order, and forward packets until both have answered."""
        for end, order in zip(self._ends, orders, strict=True):
            end.send(order)
        answers: dict[int, int] = {}
        controls = {end.control.fileno(): number for number, end in enumerate(self._ends)}
        devices = {end.device: number for number, end in enumerate(self._ends)}
        deadline_ns = time.monotonic_ns() + int((ORDER_TIMEOUT_S + 5.0) * 1e9)
        while len(answers) < len(self._ends):
            ready, _, _ = select.select([*devices, *controls], (), (), _wait_s(wires))
            for descriptor in ready:
                if descriptor in devices:
                    number = devices[descriptor]
                    self._take_in(self._ends[number], wires[number])
                else:
                    number = controls.pop(descriptor)
                    answers[number] = self._ends[number].answer()
            self._hand_on(wires)
            if time.monotonic_ns() > deadline_ns:
                raise TimeoutError("an endpoint does not answer")
        return [answers[number] for number in range(len(self._ends))]

    def _take_in(self, end: _End, wire: Emulator) -> None:
        for _ in range(_AT_ONCE):
            packet = end.read_packet()
            if packet is None:
                return
            wire.offer(packet, time.monotonic_ns())

    def _hand_on(self, wires: tuple[Emulator, Emulator]) -> None:
        for wire, end in zip(wires, reversed(self._ends), strict=True):
            while (due := wire.take(time.monotonic_ns())) is not None:
                due_ns, packet = due
                os.write(end.device, packet)
                self._late_ns.append(time.monotonic_ns() - due_ns)


class _End:
    """The process of one endpoint, its control socket and the device that it handed over."""

    def __init__(self, own_address: str, other_address: str) -> None:
        self.device = -1
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with closing(theirs):
            name = "benchmarks.links.endpoint"
            words = [sys.executable, "-m", name, str(theirs.fileno()), own_address, other_address]
            # A session of its own: Ctrl-C is for the parent, which ends this process.
            self._process = subprocess.Popen(
                words, cwd=ROOT, pass_fds=[theirs.fileno()], start_new_session=True
            )

    def meet(self) -> None:
        """Wait for the device."""
        self.control.settimeout(60.0)
        message, descriptors, _, _ = socket.recv_fds(self.control, 4096, 1)
        if not descriptors:
            reason = json.loads(message)["error"] if message else "the endpoint ended"
            raise NoNamespacesError(reason)
        (self.device,) = descriptors
        os.set_blocking(self.device, False)

    def send(self, order: dict[str, Any]) -> None:
        """Give an order."""
        self.control.send(json.dumps(order).encode())

    def answer(self) -> int:
        """The answer to the order. Raises ConnectionError where it went wrong."""
        message = self.control.recv(4096)
        answer = json.loads(message) if message else {"error": "the endpoint ended"}
        if "error" in answer:
            raise ConnectionError(answer["error"])
        return int(answer["answer"])

    def read_packet(self) -> bytes | None:
        """The next packet that this end sends; None when there is none."""
        try:
            return os.read(self.device, MTU)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """End the process and give back all that it held."""
        self.control.close()
        self._process.kill()
        self._process.wait()
        if self.device >= 0:
            os.close(self.device)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A collection in the middle would make packets late."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _wait_s(wires: tuple[Emulator, Emulator]) -> float:
    due = [at for at in (wire.next_ns() for wire in wires) if at is not None]
    if not due:
        return _LONGEST_WAIT_S
    return min(_LONGEST_WAIT_S, max(0.0, (min(due) - time.monotonic_ns()) / 1e9))


def _percentile(values: array[int], share: float) -> int:
    return sorted(values)[int(share * (len(values) - 1))] if values else 0


def _fields(counts: Counts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in ("offered", "lost", "overflowed", "delivered")}


def _less(after: Counts, before: Counts) -> Counts:
    earlier = _fields(before)
    return Counts(**{name: value - earlier[name] for name, value in _fields(after).items()})
