"""Purity: what a call did that only the shell may do: clocks, I/O, unseeded chance."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from threading import get_ident
from types import FrameType
from typing import Any

import numpy as np

_CLOCKS = frozenset(
    {
        *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
        *("process_time", "process_time_ns", "thread_time", "thread_time_ns", "sleep"),
        *("localtime", "gmtime", "ctime"),
    }
)
_SHARED_RANDOM = random.random.__self__  # type: ignore[attr-defined]  # a method of it, bound
_TODAY = frozenset({"now", "utcnow", "today"})
_AUDITED = ("open", "socket.", "subprocess.", "os.", "shutil.", "urllib.", "sqlite3.")
_HARMLESS = frozenset({"os.putenv", "os.unsetenv"})

#: The watches that are on, by thread; the interpreter's audit hook cannot be taken away again.
_watching: dict[int, list[str]] = {}
_hooked: list[bool] = []


@contextmanager
def watched() -> Iterator[list[str]]:
    """The forbidden calls that this thread makes meanwhile, however they were imported.

    Python-level calls of built-in functions are seen by the profiler's hook, files and sockets by
    the interpreter's audit events.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_audit)
    found: list[str] = []
    before, thread, chance = sys.getprofile(), get_ident(), _numpy_chance()
    collecting = gc.isenabled()
    gc.disable()  # others may have hooks there, which look at the clock
    _watching[thread] = found
    sys.setprofile(_profiler(found))
    try:
        yield found
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
        del _watching[thread]
    if chance != _numpy_chance():
        found.append("numpy.random")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    found = _watching.get(get_ident())
    if found is not None and event.startswith(_AUDITED) and event not in _HARMLESS:
        found.append(f"{event}({', '.join(repr(argument) for argument in arguments[:2])})")


def _profiler(found: list[str]) -> Callable[[FrameType, str, Any], None]:
    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and (fault := forbidden(argument)):
            found.append(f"{fault} at {frame.f_code.co_filename}:{frame.f_lineno}")

    return profile


def forbidden(function: Any) -> str | None:
    """The name of a built-in function that an operator may not call; None for any other."""
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    if name in _CLOCKS and getattr(owner, "__name__", "") == "time":
        return f"time.{name}"
    if name in _TODAY and isinstance(owner, type) and issubclass(owner, date):
        return f"{owner.__name__}.{name}"
    if owner is _SHARED_RANDOM or name == "urandom":
        return f"random.{name}"
    return None


def _numpy_chance() -> bytes:
    """The state of NumPy's shared generator: it moves when a number is drawn."""
    state = np.random.get_state(legacy=False)["state"]
    return bytes(state["key"].tobytes()) + str(state["pos"]).encode()
