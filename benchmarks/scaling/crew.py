"""Crew: the worker processes of one case, seen as one."""

from __future__ import annotations

import os
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError

import orjson
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.process import Process
from benchmarks.scaling.case import Case
from benchmarks.scaling.topology import ROOT
from gress_ml.dev.port import free_ports

_GRESS = str(Path(sys.executable).parent / "gress")
_ANSWER_S = 10.0


class Crew:
    """As many workers as the case has. Use ``with``: they are ended with SIGTERM."""

    def __init__(self, case: Case, topology: Path, broker: str) -> None:
        self._ports = free_ports(case.workers)
        self._commands = [_command(case, topology, broker, port) for port in self._ports]
        self._log = topology.with_suffix(".log")
        self._life = ExitStack()
        self._running: list[Process] = []

    def __enter__(self) -> Crew:
        paths = os.pathsep.join((str(ROOT), str(ROOT / "operators")))
        environment = os.environ | {"PYTHONPATH": paths}
        for command in self._commands:
            process = Process("a worker", command, environment, self._log)
            self._running.append(self._life.enter_context(process))
        return self

    def __exit__(self, *_: object) -> None:
        self._life.close()

    @property
    def cpu_s(self) -> float:
        """CPU seconds that all have used so far."""
        return sum(running.cpu_s for running in self._running)

    @property
    def rss_mb(self) -> float:
        """Memory that one holds now."""
        return sum(running.rss_mb for running in self._running) / len(self._running)

    def check(self) -> None:
        """Raises RuntimeError when one is no longer there."""
        for running in self._running:
            running.check()

    def shares(self) -> list[int]:
        """How many partitions each has open and is ready to work; 0 for one that is not ready."""
        return [_partitions(port) for port in self._ports]

    def counted(self, metric: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels over all workers."""
        return sum(_sum(_page(port, "metrics"), metric, labels) for port in self._ports)


def _command(case: Case, topology: Path, broker: str, port: int) -> list[str]:
    if case.store == "memory":
        module, rows = "benchmarks.scaling.worker", str(case.log.keys or 0)
        return [sys.executable, "-m", module, str(topology), broker, str(port), rows]
    return [_GRESS, "worker", str(topology), "--kafka", broker, "--http-port", str(port)]


def _partitions(port: int) -> int:
    try:
        return len(orjson.loads(_page(port, "ready"))["partitions"])
    except (URLError, OSError):  # not there yet, or there and not ready (503)
        return 0


def _page(port: int, name: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=_ANSWER_S) as answer:
        return str(answer.read().decode())


def _sum(page: str, metric: str, labels: dict[str, str]) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )
