"""Running: a contender's process, from its start to SIGTERM, and what it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.contenders import ROOT, Contender
from benchmarks.variants import PROJECT

_GRACE_S = 30.0
_BEFORE_S = 60.0


class Running:
    """A contender's process. Use ``with``: it is ended as an operator would, with SIGTERM."""

    def __init__(self, contender: Contender, broker: str, home: Path) -> None:
        self.contender = contender
        self._log = home / f"{contender.key}.log"
        fresh = tempfile.mkdtemp(prefix=f"{contender.key}-", dir=home)
        places = {"broker": broker, "project": str(home / PROJECT), "fresh": fresh}
        environment = os.environ | {
            "BENCH_BROKER": broker,
            "BENCH_GROUP": contender.group,
            "Quix__State__Dir": fresh,
        }
        with self._log.open("ab") as log:
            if contender.before:
                first = [part.format(**places) for part in contender.before]
                subprocess.run(first, stdout=log, stderr=log, timeout=_BEFORE_S, check=True)
            self._process = subprocess.Popen(
                [part.format(**places) for part in contender.argv],
                cwd=ROOT,
                env=environment,
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
        """CPU seconds that the process and its children have used so far, all threads counted."""
        times = [one.cpu_times() for one in self._tree()]
        return float(sum(one.user + one.system for one in times))

    @property
    def rss_mb(self) -> float:
        """Memory that the process and its children hold now."""
        return float(sum(one.memory_info().rss for one in self._tree())) / 1e6

    def check(self) -> None:
        """Raises RuntimeError, with the end of its log, when it is no longer there."""
        if self._process.poll() is not None:
            tail = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.contender.name} ended by itself:\n{tail}")

    def _tree(self) -> list[psutil.Process]:
        return [self._seen, *self._seen.children(recursive=True)]
