"""Running: a contender's process, from its start to SIGTERM, and what it costs."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.process import Process
from benchmarks.variants import PROJECT

_BEFORE_S = 60.0


class Running(Process):
    """A contender's process. Use ``with``: it is ended as an operator would, with SIGTERM."""

    def __init__(self, contender: Contender, broker: str, home: Path) -> None:
        self.contender = contender
        log = home / f"{contender.key}.log"
        fresh = tempfile.mkdtemp(prefix=f"{contender.key}-", dir=home)
        places = {"broker": broker, "project": str(home / PROJECT), "fresh": fresh}
        environment = os.environ | {
            "BENCH_BROKER": broker,
            "BENCH_GROUP": contender.group,
            "Quix__State__Dir": fresh,
        }
        if contender.before:
            first = [part.format(**places) for part in contender.before]
            with log.open("ab") as lines:
                subprocess.run(first, stdout=lines, stderr=lines, timeout=_BEFORE_S, check=True)
        argv = [part.format(**places) for part in contender.argv]
        super().__init__(contender.name, argv, environment, log)
        self.started_at = time.perf_counter()
