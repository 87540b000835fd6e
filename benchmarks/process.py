"""Process: what is measured, from its start to SIGTERM, and what it uses."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

_ROOT = Path(__file__).parents[1]
_GRACE_S = 30.0


class Process:
    """A process in the project's folder. Use ``with``: it is ended with SIGTERM."""

    def __init__(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self._name = name
        self._log = log
        with log.open("ab") as lines:
            self._process = subprocess.Popen(
                argv, cwd=_ROOT, env=environment, stdout=lines, stderr=lines
            )
        self._seen = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
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
            raise RuntimeError(f"{self._name} ended by itself:\n{tail}")

    def _tree(self) -> list[psutil.Process]:
        return [self._seen, *self._seen.children(recursive=True)]
