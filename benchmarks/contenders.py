"""Contenders: who decides in the benchmark, each as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
TOPOLOGY = ROOT / "topologies" / "compression_selector.yaml"
_BIN = Path(sys.executable).parent
_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Contender:
    """How to start one. ``{broker}`` and ``{home}`` are filled in."""

    name: str
    group: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


GRESS = Contender(
    "gress",
    "compression-selector",  # the topology's name
    [str(_BIN / "gress"), "worker", str(TOPOLOGY), "--kafka", "{broker}", "--http-port", "0"],
)
BARE = Contender(
    "bare aiokafka loop",
    "bench-bare",
    [sys.executable, "-m", "benchmarks.bare", "{broker}", "bench-bare"],
)
STOCK_FAUST = Contender(
    "stock Faust",
    "bench-stock",
    [
        *(str(_BIN / "faust"), "-A", "benchmarks.stock_faust", "-D", "{home}/faust"),
        *("worker", "--without-web", "-l", "warn"),
    ],
    {"BENCH_BROKER": "{broker}", "BENCH_GROUP": "bench-stock"},
)


class Running:
    """A contender's process. Use ``with``: it is ended as an operator would, with SIGTERM."""

    def __init__(self, contender: Contender, broker: str, home: Path) -> None:
        self.contender = contender
        self._log = home / f"{contender.group}.log"
        places = {"broker": broker, "home": str(home)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [part.format(**places) for part in contender.argv],
                cwd=ROOT,
                env=os.environ | {k: v.format(**places) for k, v in contender.environment.items()},
                stdout=log,
                stderr=log,
            )
        self.started_at = time.perf_counter()
        self._seen = psutil.Process(self._process.pid)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def cpu_s(self) -> float:
        """CPU seconds that the process has used so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    @property
    def rss_mb(self) -> float:
        """Memory that the process holds now."""
        return float(self._seen.memory_info().rss) / 1e6

    def check(self) -> None:
        """Raises RuntimeError, with the end of its log, when it is no longer there."""
        if self._process.poll() is not None:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.contender.name} ended by itself:\n{tail}")
