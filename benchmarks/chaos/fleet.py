"""Fleet: the workers, each a process of its own through the command line, with its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from benchmarks.chaos.scenario import PROJECT, Scenario
from gress_ml.dev.port import free_ports

_GRESS = (sys.executable, "-c", "from gress_ml.cli.main import main; main()")
_SUSPECT = ("Traceback", "crashed", "never retrieved", "never awaited", "worker_failed")
#: How long a worker may take to drain and leave after SIGTERM.
_LEAVE_S = 30.0
_READY_S = 60.0
#: Ended by the worker itself, or by the system before it had begun to listen to signals.
_GOOD_CODES = (0, -signal.SIGTERM)


class Fleet:
    """Starts, kills and ends workers. A worker that is struck is started again at once."""

    def __init__(self, scenario: Scenario, bootstrap: str, logs: Path) -> None:
        self._scenario = scenario
        self._bootstrap = bootstrap
        self._logs = logs
        self._ports = free_ports(scenario.workers)
        self._running: list[subprocess.Popen[bytes]] = []
        self._bad_exits: list[str] = []
        logs.mkdir(parents=True, exist_ok=True)
        for old in logs.glob(f"{scenario.name}-*.log"):
            old.unlink()

    def start(self) -> None:
        """All workers."""
        self._running = [self._spawn(number) for number in range(self._scenario.workers)]

    def wait_until_ready(self) -> None:
        """Return when some worker has its partitions open. Raises TimeoutError."""
        deadline = time.monotonic() + _READY_S
        while not any(self._is_ready(port) for port in self._ports):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no worker was ready within {_READY_S:.0f} s: {self._logs}")
            time.sleep(0.1)

    def kill(self, number: int) -> None:
        """kill -9, and a new one."""
        self._running[number].kill()
        self._running[number].wait()
        self._running[number] = self._spawn(number)

    def end(self, number: int) -> None:
        """SIGTERM, wait until it left, and a new one."""
        self._end(number)
        self._running[number] = self._spawn(number)

    def stop(self) -> None:
        """SIGTERM to all; those that do not leave are killed and noted."""
        for worker in self._running:
            worker.send_signal(signal.SIGTERM)
        for number in range(len(self._running)):
            self._end(number)
        self._running = []

    def faults(self) -> Iterator[str]:
        """Exits that were not clean, and every line of a log that must not be there."""
        yield from self._bad_exits
        for log in sorted(self._logs.glob(f"{self._scenario.name}-*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if any(word in line for word in _SUSPECT):
                    yield f"{log.name}: {line[:300]}"

    @staticmethod
    def _is_ready(port: int) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/ready", timeout=1):
                return True
        except OSError:
            return False

    def _end(self, number: int) -> None:
        worker = self._running[number]
        worker.send_signal(signal.SIGTERM)
        try:
            code = worker.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            self._bad_exits.append(f"worker {number} did not leave within {_LEAVE_S:.0f} s")
        else:
            if code not in _GOOD_CODES:
                self._bad_exits.append(f"worker {number} ended with code {code}")

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        scenario = self._scenario
        options = [
            *("--kafka", self._bootstrap),
            *("--http-port", str(self._ports[number])),
            *("--session-timeout", str(scenario.session_timeout_s)),
            *("--log-format", "json"),
        ]
        if scenario.static_membership:
            options += ["--instance-id", f"{scenario.name}-{number}"]
        with (self._logs / f"{scenario.name}-{number}.log").open("ab") as log:
            return subprocess.Popen(
                [*_GRESS, "worker", str(scenario.topology), *options],
                cwd=PROJECT,
                env={**os.environ, "PYTHONASYNCIODEBUG": "0"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
