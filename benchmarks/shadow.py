"""``python -m benchmarks.shadow``: the latency of a decision with the shadow on, and off, in turn.

One worker on a Kafka of its own, an A/B test of two arms of the flagship's model, events in an open
loop at a fixed rate. Read the ratio, and how many of the answers were compared: what was let go
costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import ROOT, Contender, Kind, gress_worker
from benchmarks.latency import WARM_UP_S, Delay, measure
from benchmarks.operators import CHOSEN, ab_test_step, topology_text
from benchmarks.own_broker import own_broker
from benchmarks.topics import PARTITIONS, Ends, Topics
from benchmarks.variants import PROJECT
from gress_ml.dev.topics import TopicSettings, create_topics

_SHADOW = "bench.shadow"
_WAYS = ("off", "on")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Latency with the shadow on and off.")
    parser.add_argument("--rate", type=int, default=2_000, help="events per second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with own_broker() as (home, _, topics):
        _write(home)
        topics.create()
        wanted = {
            _SHADOW: TopicSettings(PARTITIONS),
            "gress.experiments": TopicSettings(1, {"cleanup.policy": "compact"}),
        }
        asyncio.run(create_topics(topics.bootstrap, wanted))
        found, compared = _measured(topics, home, arguments)
    _print(found, compared, arguments.rate)


def _write(home: Path) -> None:
    """A topology per way; the one with the shadow writes both answers to a topic."""
    folder = home / PROJECT / "topologies"
    folder.mkdir(parents=True)
    (home / PROJECT / "models").symlink_to(ROOT / "models")
    for way in _WAYS:
        text = topology_text(ab_test_step(shadow=way == "on"), CHOSEN)
        text = text.replace("name: compression-selector\n", f"name: bench-{way}\n", 1)
        if way == "on":
            text += (
                f"  shadow:\n    topic: {_SHADOW}\n    from: select.shadow\n"
                "    fields: [decision_id, ab_variant, prediction, shadow_prediction]\n"
            )
        (folder / f"{way}.yaml").write_text(text)


def _measured(
    topics: Topics, home: Path, arguments: argparse.Namespace
) -> tuple[dict[str, list[Delay]], int]:
    found: dict[str, list[Delay]] = {way: [] for way in _WAYS}
    rounds = arguments.rounds + 1
    for number in range(rounds):
        for way in _WAYS if number % 2 else _WAYS[::-1]:
            one = Contender(way, f"shadow {way}", Kind.GRESS, "gress-ml", "", gress_worker(way))
            delay = measure(one, arguments.rate, topics, home, arguments.seconds)
            if number:  # in the first the broker warms up
                found[way].append(delay)
    events = arguments.rate * (arguments.seconds + WARM_UP_S) * rounds
    return found, round(100 * asyncio.run(_written(topics)) / events)


async def _written(topics: Topics) -> int:
    async with Ends(topics.bootstrap, [_SHADOW]) as ends:
        return await ends.total()


def _print(found: dict[str, list[Delay]], compared: int, rate: int) -> None:
    table = Table("shadow", "p50 ms", "p99 ms", "lost")
    p99: dict[str, float] = {}
    for way, delays in found.items():
        p50_ms, p99[way] = (
            statistics.median(getattr(delay, name) for delay in delays)
            for name in ("p50_ms", "p99_ms")
        )
        table.add_row(way, f"{p50_ms:.2f}", f"{p99[way]:.2f}", str(sum(d.lost for d in delays)))
    out = Console(width=100)
    out.print(f"medians at {rate:,} events/s; about {compared} % of the answers were compared")
    out.print(table)
    out.print(f"p99 on / off: {p99['on'] / p99['off']:.3f}")
    pairs = [*zip(found["on"], found["off"], strict=True)]
    of_p50 = statistics.median(on.p50_ms / off.p50_ms for on, off in pairs)
    of_p99 = statistics.median(on.p99_ms / off.p99_ms for on, off in pairs)
    out.print(f"medians of the rounds' own ratios: p50 {of_p50:.3f}, p99 {of_p99:.3f}")


if __name__ == "__main__":
    main()
