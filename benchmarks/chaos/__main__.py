"""``python -m benchmarks.chaos``: all scenarios, a table, build/chaos.json; exit 1 on a loss."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import replace

from rich.console import Console

from benchmarks.chaos.report import figures, show
from benchmarks.chaos.scenario import PROJECT, SCENARIOS, Scenario, quick
from benchmarks.chaos.storm import Storm

_BUILD = PROJECT / "build"


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing is left running then, either
    console = Console(highlight=False)
    outcomes = []
    for scenario in [_asked(scenario, options) for scenario in SCENARIOS]:
        console.print(
            f"{scenario.name}: {scenario.events:,} events in {scenario.seconds:.0f} s, seed "
            f"{options.seed}"
        )
        outcomes.append(Storm(scenario, options.seed, _BUILD / "chaos", console).run())
    show(console, outcomes)
    found = {outcome.scenario.name: figures(outcome) for outcome in outcomes}
    (_BUILD / "chaos.json").write_text(json.dumps({"seed": options.seed, **found}, indent=2) + "\n")
    return 0 if all(outcome.verdict.good for outcome in outcomes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form, under two minutes")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--events", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--broker-restarts", type=int)
    return parser.parse_args()


def _asked(scenario: Scenario, options: argparse.Namespace) -> Scenario:
    shaped = quick(scenario) if options.quick else scenario
    wanted = {
        name: value
        for name in ("events", "seconds", "kills", "broker_restarts")
        if (value := getattr(options, name)) is not None
    }
    return replace(shaped, **wanted)


if __name__ == "__main__":
    sys.exit(main())
