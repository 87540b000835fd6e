"""Processes that outlive the command that started them, and are ended only if they are ours.

A pid alone says little: the number is used again after its process died. So a process is known
by its pid and its birth (boot and clock tick of its start, which no clock change moves).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    birth: str


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, as whom, and where its output goes."""

    argv: Sequence[str]
    folder: Path  # its working directory
    log: Path  # stdout and stderr are appended here
    uid: int | None = None  # None: as the caller
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the caller's


# Processes that this very process started. They must be waited for, or they stay as zombies.
_children: dict[ProcessId, subprocess.Popen[bytes]] = {}


def spawn(launch: Launch) -> ProcessId:
    """Start a process in a session of its own, so that Ctrl-C in the terminal spares it."""
    with launch.log.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - the arguments are ours
            launch.argv,
            cwd=launch.folder,
            env={**os.environ, **launch.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=launch.uid,
            group=launch.uid,
            extra_groups=None if launch.uid is None else [],
        )
    process = ProcessId(child.pid, _birth(child.pid) or "died at once")
    _children[process] = child
    return process


def alive(process: ProcessId) -> bool:
    """Whether this process, and not another one with its number, runs."""
    if _birth(process.pid) == process.birth:
        return True
    child = _children.pop(process, None)
    if child is not None:
        child.wait()  # it is dead already: this only takes it off the process table
    return False


def end(process: ProcessId, politely: signal.Signals, patience_s: float) -> None:
    """Signal it, wait, then kill what is left of it and of its children. Returns when all died."""
    if not alive(process):
        return
    family = [process, *_descendants(process.pid)]
    _signal(process, politely)
    if _gone(family, patience_s):
        return
    for member in family:
        _signal(member, signal.SIGKILL)
    _gone(family, 10.0)


def memory_bytes(process: ProcessId) -> int:
    """Resident memory of a process and its children; 0 when it is gone."""
    total = 0
    for member in [process, *_descendants(process.pid)]:
        try:
            total += psutil.Process(member.pid).memory_info().rss
        except psutil.Error:
            continue
    return total


def _gone(family: Sequence[ProcessId], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while any(alive(member) for member in family):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _signal(process: ProcessId, number: signal.Signals) -> None:
    if alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return  # it died in this instant, which is what a signal is for


def _descendants(pid: int) -> list[ProcessId]:
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    births = [(child.pid, _birth(child.pid)) for child in children]
    return [ProcessId(number, birth) for number, birth in births if birth]


def _birth(pid: int) -> str | None:
    """When this process started; None when there is none, or only its zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _birth_elsewhere(pid)
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":  # zombie, dead
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{fields[19]}"  # proc(5): starttime, in ticks since the boot


def _birth_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.2f}"
    except psutil.Error:
        return None
