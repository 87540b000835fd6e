"""Targets: what the figures should be. A target is reported, never asserted: machines differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Results = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Target:
    """One figure and its bound."""

    name: str
    value: Callable[[Results], float]
    bound: float
    unit: str = ""
    at_least: bool = False

    def measured(self, results: Results) -> float | None:
        """The figure, or None where what it is made of was not measured."""
        try:
            return self.value(results)
        except KeyError:
            return None

    def reached(self, results: Results) -> bool | None:
        value = self.measured(results)
        if value is None:
            return None
        return value >= self.bound if self.at_least else value <= self.bound


def _ratio(name: str, one: str, other: str, bound: float) -> Target:
    """``one`` is at least ``bound`` times as fast as ``other``."""
    return Target(
        name,
        lambda r: r[f"throughput_{one}"] / r[f"throughput_{other}"],
        bound,
        "x",
        at_least=True,
    )


TARGETS = (
    _ratio("throughput against bare aiokafka", "gress", "bare", 0.95),
    _ratio("throughput against bare confluent-kafka, orjson", "gress", "bare_confluent", 1.0),
    _ratio("throughput against Bytewax in batches", "gress", "bytewax_batched", 1.4),
    _ratio("throughput against Quix Streams as documented", "gress", "quix", 7),
    _ratio("throughput against Faust as documented", "gress", "faust_stock", 30),
    _ratio("exactly once against at least once", "exactly_once", "gress", 0.88),
    _ratio("1 % of the events damaged, against none", "bad_1pct", "gress", 0.95),
    Target("throughput", lambda r: r["throughput_gress"], 70_000, "/s", at_least=True),
    Target("p50 at 10,000/s", lambda r: r["latency_p50_ms_10k"], 4, "ms"),
    Target("p99 at 10,000/s", lambda r: r["latency_p99_ms_10k"], 12, "ms"),
    Target(
        "p50 at 10,000/s against bare aiokafka",
        lambda r: r["latency_p50_ms_10k"] / r["bare_latency_p50_ms_10k"],
        1.3,
        "x",
    ),
    Target(
        "p99 at 10,000/s against bare aiokafka",
        lambda r: r["latency_p99_ms_10k"] / r["bare_latency_p99_ms_10k"],
        1.3,
        "x",
    ),
    Target("one decision, p99", lambda r: r["decision_p99_us"], 200, "µs"),
    Target("memory of a worker", lambda r: r["worker_rss_mb"], 400, "MB"),
    Target("start to first decision", lambda r: r["start_to_first_decision_s"], 5, "s"),
)
