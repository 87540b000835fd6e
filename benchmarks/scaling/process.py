"""Process: one worker, from its start to SIGTERM, and what it uses."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.scaling.topology import ROOT

_GRACE_S = 30.0


class Process:
    """A worker's process. Use ``with``: it is ended as an operator would, with SIGTERM."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("ab") as lines:
            self._process = subprocess.Popen(
                argv,
                cwd=ROOT,
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "operators")))},
                stdout=lines,
                stderr=lines,
            )
        self._seen = psutil.Process(self._process.pid)

    def __enter__(self) -> Process:
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
        """CPU seconds that it has used so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    @property
    def rss_mb(self) -> float:
        """Memory that it holds now."""
        return float(self._seen.memory_info().rss) / 1e6

    def check(self) -> None:
        """Raises RuntimeError, with the end of its log, when it is no longer there."""
        if self._process.poll() is not None:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"a worker ended by itself:\n{tail}")
