"""Seldom: a library that says the same thing all the time is heard a few times, and counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Some libraries put the values into the text: each line is a kind of its own then.
_KINDS = 1000


@dataclass(slots=True)
class _Kind:
    """Lines of one place in the code, in the present period."""

    began: float
    passed: int = 0
    kept_back: int = 0


class Seldom(logging.Filter):
    """At most ``lines`` of a kind pass per ``period_s``; the next one tells how many did not.

    A kind is a logger and the text before its values are put in. Clients of a broker that is away
    write hundreds of lines a second.
    """

    def __init__(
        self,
        lines: int = 5,
        period_s: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._lines = lines
        self._period_s = period_s
        self._monotonic = monotonic
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._monotonic()
        name = (record.name, str(record.msg))
        kind = self._kinds.get(name)
        if kind is None or now - kind.began >= self._period_s:
            kept_back = 0 if kind is None else kind.kept_back
            if len(self._kinds) >= _KINDS:
                self._kinds.clear()
            kind = self._kinds[name] = _Kind(now)
            if kept_back:
                record.msg = f"{record.getMessage()} (and {kept_back} like it)"
                record.args = ()
        if kind.passed >= self._lines:
            kind.kept_back += 1
            return False
        kind.passed += 1
        return True
