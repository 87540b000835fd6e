"""Breaker: after a failure callers are refused at once for a while, instead of all waiting."""

from __future__ import annotations

from gress_ml.errors import StoreUnavailable
from gress_ml.ports import Clock


class Breaker:
    """Closed while all is well. A failure opens it; after the back-off one caller tries again.

    The back-off doubles with each failed try, from ``first_s`` to ``longest_s``.
    """

    def __init__(self, name: str, clock: Clock, first_s: float, longest_s: float) -> None:
        self._name = name
        self._clock = clock
        self._first_s, self._longest_s = first_s, longest_s
        self._backoff_s = 0.0  # 0 while closed
        self._open_until = 0.0
        self._cause = ""

    def enter(self) -> None:
        """Before a call. Raises StoreUnavailable while the breaker is open."""
        if not self._backoff_s:
            return
        now = self._clock.monotonic()
        if now < self._open_until:
            raise StoreUnavailable(f"{self._name}: away, next try soon: {self._cause}")
        self._open_until = now + self._backoff_s  # the others wait for this one's result

    def succeeded(self) -> None:
        """After a call that was answered."""
        self._backoff_s = 0.0

    def failed(self, cause: str) -> None:
        """After a call that was not."""
        self._cause = cause
        self._backoff_s = min(max(self._backoff_s * 2, self._first_s), self._longest_s)
        self._open_until = self._clock.monotonic() + self._backoff_s
