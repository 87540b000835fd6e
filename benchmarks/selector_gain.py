"""``python -m benchmarks.selector_gain``: what the selector's decisions gain over the rules.

Unseen transfers of the data set (the newest cohorts, which training only tested on) go as events
through the flagship topology, offline: decoding, features, model, rules, encoding, all as a worker
does it. Each decision then costs what its profile was measured to cost on these bytes. The interval
is that of a bootstrap which draws whole payload sources.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.dwcp import rules
from gress_ml.dwcp.dataset import Dataset, read, transfers
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training.intervals import Clusters, Interval, excess
from gress_ml.dwcp.training.split import VALIDATION_END
from gress_ml.engine.stores import open_models
from gress_ml.offline.replay import replay
from gress_ml.offline.run import OfflineRun
from gress_ml.topology.load import load_topology

TOPOLOGY = Path(__file__).parents[1] / "topologies" / "compression_selector.yaml"
Choice = npt.NDArray[np.intp]


def decide(data: Dataset, topology: Path = TOPOLOGY) -> tuple[list[dict[str, Any]], float]:
    """The decision messages of the transfers, in their order, and the seconds that they took."""
    graph = load_topology(topology, open_models)
    settings = graph.settings
    models = open_models(settings.ml, settings.project)
    run = OfflineRun(graph, models, MemoryFeatures(SystemClock()))
    with tempfile.TemporaryDirectory() as name:
        events = Path(name) / "transfers.jsonl"
        events.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in transfers(data)))
        start = time.perf_counter()
        done = asyncio.run(replay(run, graph.inputs["transfers"], events, Path(name), "vm_id"))
        seconds = time.perf_counter() - start
        run.close()
        if done.dead_letters:
            raise SystemExit(f"{done.dead_letters} of {done.events} transfers were refused")
        lines = (Path(name) / "dwcp.decisions.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines], seconds


def by_rules(data: Dataset) -> Choice:
    """What the rules choose, by the same events."""
    history = (data["hde_compression_ratio"], data["hde_delta_hit_rate"])
    hde = rules.prefers_hde(data["rtt_ms"], data["bandwidth_available_mbps"], *history)
    return np.where(hde, ALGORITHMS.index("hde"), ALGORITHMS.index("amst"))


def compare(data: Dataset, chosen: Choice) -> dict[str, Interval]:
    """Gain over the rules and regret, with 95 % intervals."""
    cost, rows = data.arms("cost"), np.arange(len(data))
    clusters = Clusters(data["source_id"])
    ours, ruled = cost[rows, chosen], cost[rows, by_rules(data)]
    return {
        "gain over the rules": clusters.interval(excess, ruled, ours),
        "gain if the best were always known": clusters.interval(excess, ruled, cost.min(axis=1)),
        "regret": clusters.interval(excess, ours, cost.min(axis=1)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("build/dataset"))
    parser.add_argument("--transfers", type=int, default=20_000)
    arguments = parser.parse_args()
    unseen = read(arguments.data).part(VALIDATION_END, 1.0)
    data = unseen.take(np.arange(max(0, len(unseen) - arguments.transfers), len(unseen)))
    decisions, seconds = decide(data)
    of_request = {one["request_id"]: one for one in decisions}
    ordered = [of_request[name] for name in data["request_id"].tolist()]
    chosen = np.array([ALGORITHMS.index(one["algorithm"]) for one in ordered], np.intp)
    out = Console(highlight=False)
    for name, value in describe_machine():
        out.print(f"{name}: {value}", markup=False)
    table = Table(title=f"{len(data):,} unseen transfers, decided in {seconds:.1f} s")
    for header in ("figure", "value", "95 % interval"):
        table.add_column(header)
    for name, found in compare(data, chosen).items():
        table.add_row(name, f"{found.value:+.2%}", f"{found.low:+.2%} to {found.high:+.2%}")
    out.print(table)
    for what in ("algorithm", "reason", "version"):
        counts = Counter(one[what] for one in ordered)
        out.print(f"{what}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}")


if __name__ == "__main__":
    main()
