"""DemoStats: what the live view shows, kept up to date result by result, in bounded memory."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from gress_ml.dwcp.agent import Result

#: How far back rates and percentiles look.
_WINDOW_S = 10.0
_RECENT = 2000


@dataclass(slots=True)
class DemoStats:
    """Counts since the start; rates over the last ten seconds, percentiles over 2,000 decisions."""

    started_s: float
    total: int = 0
    failed: int = 0
    payload_bytes: int = 0
    sent_bytes: int = 0
    algorithms: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    #: Sums over the transfers that were run every way.
    compared: int = 0
    ours_ms: float = 0.0
    rules_ms: float = 0.0
    best_ms: float = 0.0
    last: deque[Result] = field(default_factory=lambda: deque(maxlen=8))
    _arrivals: deque[float] = field(default_factory=deque)
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(self, result: Result, now_s: float) -> None:
        """One transfer has arrived."""
        self.total += 1
        self.failed += not result.arms
        self.payload_bytes += result.transfer["payload_size"]
        self.sent_bytes += result.outcome["bytes_sent"]
        self.algorithms[result.outcome["actual_algorithm"]] += 1
        self.reasons[result.reason] += 1
        self.last.append(result)
        self._arrivals.append(now_s)
        if result.decision_ms is not None:
            self._latencies.append(result.decision_ms)
        self._compare(result)

    def _compare(self, result: Result) -> None:
        ours, rules, best = result.total_ms, result.rules_total_ms, result.best_total_ms
        if ours is not None and rules is not None and best is not None:
            self.compared += 1
            self.ours_ms += ours
            self.rules_ms += rules
            self.best_ms += best

    def rate(self, now_s: float) -> float:
        """Decisions per second over the window."""
        while self._arrivals and self._arrivals[0] < now_s - _WINDOW_S:
            self._arrivals.popleft()
        return len(self._arrivals) / max(min(_WINDOW_S, now_s - self.started_s), 1e-9)

    def latency_ms(self, percentile: float) -> float | None:
        """From offer to decision; None before the first."""
        return float(np.percentile(self._latencies, percentile)) if self._latencies else None

    @property
    def gain_over_rules(self) -> float | None:
        """Throughput against the rules on the same transfers: 0.1 is ten per cent more."""
        return self.rules_ms / self.ours_ms - 1.0 if self.ours_ms else None

    @property
    def short_of_best(self) -> float | None:
        """How much longer than the best of all ways: 0 is never wrong."""
        return self.ours_ms / self.best_ms - 1.0 if self.best_ms else None
