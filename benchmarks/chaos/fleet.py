"""Fleet: the workers of a lane, each a process of its own through the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from benchmarks.chaos.instruments.clock import WallClock
from benchmarks.chaos.subject import PROJECT
from gress_ml.dev.port import free_ports

_GRESS = (sys.executable, "-c", "from gress_ml.cli.main import main; main()")
#: A worker that says this went down, whether or not its process lived on.
_CRASHED = ("worker_failed",)
#: Not a crash, and yet nothing that may stand in a log.
_SUSPECT = ("Traceback", "crashed", "never retrieved", "never awaited")
#: How long a worker may take to drain and leave after SIGTERM.
_LEAVE_S = 120.0
_READY_S = 180.0  # on a machine that has other things to do
#: Ended by the worker itself, or by the system before it had begun to listen to signals.
_GOOD_CODES = (0, -signal.SIGTERM)
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How the workers of a fleet are started."""

    topology: Path
    bootstrap: str
    session_timeout_s: float
    static_membership: bool
    clocks_may_jump: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class Fleet:
    """Starts, strikes and ends workers by their number; ``size`` of them in quiet times."""

    def __init__(self, name: str, size: int, options: WorkerOptions, logs: Path) -> None:
        self.size = size
        self._name = name
        self._options = options
        self._logs = logs
        self._ports = free_ports(size + 1)  # one more may join
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._crashes: list[str] = []
        logs.mkdir(parents=True, exist_ok=True)
        #: The time of day of each worker, where clocks may jump.
        self.clocks: Mapping[int, WallClock] = {}
        if options.clocks_may_jump:
            self.clocks = {n: WallClock(logs / f"{name}-{n}.clock") for n in range(size + 1)}

    def start(self) -> None:
        """All workers."""
        for number in range(self.size):
            self.spawn(number)

    def wait_until_ready(self) -> None:
        """Return when all workers have their partitions open. Raises TimeoutError."""
        deadline = time.monotonic() + _READY_S
        while not all(_is_ready(self._ports[number]) for number in self._running):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready within {_READY_S:.0f} s: {self._name}, {self._logs}")
            time.sleep(0.1)

    def kill(self, number: int) -> None:
        """kill -9."""
        worker = self._running.pop(number)
        self._note_if_ended(number, worker)
        worker.kill()
        worker.wait()

    def end(self, number: int) -> None:
        """SIGTERM, and wait until it left; one that does not leave is killed and noted."""
        worker = self._running.pop(number)
        self._note_if_ended(number, worker)
        worker.send_signal(signal.SIGTERM)
        self._wait(number, worker)

    def freeze(self, number: int) -> None:
        """SIGSTOP: it does nothing any more and knows nothing of it."""
        self._running[number].send_signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """SIGCONT."""
        self._running[number].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM to all, and wait until they left."""
        going, self._running = self._running, {}
        for number, worker in going.items():
            self._note_if_ended(number, worker)
            worker.send_signal(signal.SIGTERM)
            worker.send_signal(signal.SIGCONT)
        for number, worker in going.items():
            self._wait(number, worker)

    def spawn(self, number: int) -> None:
        """Start worker ``number``."""
        options = self._options
        arguments = [
            *("--kafka", options.bootstrap),
            *("--http-port", str(self._ports[number])),
            *("--session-timeout", str(options.session_timeout_s)),
            *("--log-format", "json"),
        ]
        if options.static_membership:
            arguments += ["--instance-id", f"{self._name}-{number}"]
        with (self._logs / f"{self._name}-{number}.log").open("ab") as log:
            self._running[number] = subprocess.Popen(
                [*_GRESS, "worker", str(options.topology), *arguments],
                cwd=PROJECT,
                env={**os.environ, **options.environment, **self._clock_environment(number)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def crashes(self) -> list[str]:
        """Workers that ended by themselves, badly or not at all, or say that they failed."""
        return [*self._crashes, *self._lines_with(_CRASHED)]

    def suspicions(self) -> list[str]:
        """Other lines that may not be in a log."""
        return list(self._lines_with(_SUSPECT))

    def _clock_environment(self, number: int) -> Mapping[str, str]:
        return self.clocks[number].environment if self.clocks else {}

    def _wait(self, number: int, worker: subprocess.Popen[bytes]) -> None:
        try:
            code = worker.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            self._crashes.append(f"{self._name}-{number} did not leave within {_LEAVE_S:.0f} s")
        else:
            if code not in _GOOD_CODES:
                self._crashes.append(f"{self._name}-{number} ended with code {code}")

    def _note_if_ended(self, number: int, worker: subprocess.Popen[bytes]) -> None:
        if (code := worker.poll()) is not None:
            self._crashes.append(f"{self._name}-{number} had ended by itself with code {code}")

    def _lines_with(self, words: tuple[str, ...]) -> Iterator[str]:
        for log in sorted(self._logs.glob(f"{self._name}-*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if any(word in line for word in words):
                    yield f"{log.name}: {line[:_SHOWN]}"


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
            return True
    except OSError:
        return False
