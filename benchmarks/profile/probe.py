"""Probe: what each stage of a run costs, measured in place.

In place, since a stage that runs alone in a loop finds the caches and the branch predictor to
itself, and takes half of the time that it takes on the way of a decision.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Generator
from types import CodeType, FrameType
from typing import Any

Spent = dict[str, int]  # by stage


class Probe:
    """Watches functions: what is spent in one, without what is spent in those it calls.

    What no watched function spends counts under ``rest``. ``clock`` gives nanoseconds; it is read
    twice per call, and its cost shows.
    """

    def __init__(self, rest: str, clock: Callable[[], int]) -> None:
        self._rest = self._stage = rest
        self.clock = clock
        self._since = 0
        self._ns: defaultdict[str, int] = defaultdict(int)  # unlike a Counter, written in C
        self._own: set[object] = set()  # code of the probe, whose calls do not count

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Put a watched function in the place of ``owner.name``."""
        function = getattr(owner, name)

        def watched(*arguments: Any) -> Any:
            return self._within(stage, lambda: function(*arguments))

        self._hide(watched, self._within)
        setattr(owner, name, watched)

    def watch_generator(self, owner: Any, name: str, stage: str) -> None:
        """The same of a function that returns a generator: what it spends between its yields."""
        function = getattr(owner, name)

        def watched(*arguments: Any) -> Generator[Any, Any, Any]:
            inner, answer = function(*arguments), None
            while True:
                try:
                    wish = self._within(stage, lambda: inner.send(answer))  # noqa: B023 - at once
                except StopIteration as end:
                    return end.value
                answer = yield wish

        self._hide(watched, self._within)
        setattr(owner, name, watched)

    def _within(self, stage: str, call: Callable[[], Any]) -> Any:
        caller, self._stage = self._stage, stage
        at = self.clock()
        self._ns[caller] += at - self._since
        self._since = at
        try:
            return call()
        finally:
            at = self.clock()
            self._ns[stage] += at - self._since
            self._since, self._stage = at, caller

    def _hide(self, *functions: Any) -> None:
        """Calls of these are the probe's own, and do not count."""
        for function in functions:
            code = function.__code__
            inside = [one for one in code.co_consts if isinstance(one, CodeType)]
            self._own.update([code, *inside])

    def time(self, run: Callable[[], object]) -> Spent:
        """Nanoseconds per stage."""
        self._ns.clear()
        self._since = self.clock()
        run()
        self._ns[self._rest] += self.clock() - self._since
        return dict(self._ns)

    def count(self, run: Callable[[], object]) -> Spent:
        """Calls per stage, of functions in Python and in C, as the interpreter sees them."""
        calls: defaultdict[str, int] = defaultdict(int)
        own = {*self._own, Probe.count.__code__}

        def see(frame: FrameType, event: str, _: Any) -> None:
            if event in ("call", "c_call") and frame.f_code not in own:
                calls[self._stage] += 1

        sys.setprofile(see)
        run()
        sys.setprofile(None)
        return calls
