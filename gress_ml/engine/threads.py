"""Threads: where calls run that the event loop must not, or need not, stand still for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = tuple[Callable[[], None], Callable[[], None]]  # what to do, and whom to tell


class Threads:
    """Runs jobs in up to ``limit`` daemon threads, first come, first served.

    Daemons, as one that hangs must not keep the process from ending. Jobs are started from one
    thread alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._threads = 0
        self._busy = 0
        self._lock = threading.Lock()

    @property
    def busy(self) -> int:
        """Jobs not yet finished, those included that nobody waits for any more."""
        return self._busy

    @property
    def full(self) -> bool:
        """Whether a job that is started now has to wait for another."""
        return self._busy >= self._limit

    def start(self, work: Callable[[], None], tell: Callable[[], None]) -> None:
        """Do the work, which must not raise; then ``tell``, also in the thread."""
        with self._lock:
            self._busy += 1
            if self._threads < min(self._busy, self._limit):
                self._threads += 1
                threading.Thread(target=self._run, name="gress-call", daemon=True).start()
        self._jobs.put((work, tell))

    def _run(self) -> None:
        while True:
            work, tell = self._jobs.get()
            work()
            with self._lock:
                self._busy -= 1
            tell()  # last: who is told may start another at once
