"""``python -m benchmarks.chaos``: all scenarios, a table, build/chaos.json; exit 1 on a flaw."""

from __future__ import annotations

import argparse
import signal
import sys

from rich.console import Console

from benchmarks.chaos.instruments.unavailable import Unavailable
from benchmarks.chaos.lane import GUARANTEES
from benchmarks.chaos.report import Run, show
from benchmarks.chaos.scenario import Scenario
from benchmarks.chaos.scenarios import SCENARIOS, SHORT, quick
from benchmarks.chaos.storm import Storm
from benchmarks.chaos.subject import PROJECT

_BUILD = PROJECT / "build"
_WIDTH = 144


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing is left running then, either
    console = Console(highlight=False, width=_WIDTH)
    run = Run(options.seed)
    for scenario in _asked(options):
        console.print(
            f"{scenario.name}: {scenario.blows} blows, {scenario.events:,} events in "
            f"{scenario.seconds:.0f} s, seed {options.seed}"
        )
        storm = Storm(scenario, options.guarantee, options.seed, _BUILD / "chaos", console)
        try:
            run.outcomes += storm.run()
        except Unavailable as error:
            run.skipped[scenario.name] = str(error)
            console.print(f"  skipped: {error}", style="yellow", markup=False)
        except Exception as error:  # the other storms tell something all the same
            run.unjudged[scenario.name] = repr(error)
            console.print_exception()
        run.write(_BUILD / "chaos.json")
    show(console, run)
    return 0 if run.good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks.chaos", description=__doc__)
    parser.add_argument(
        "--scenario", nargs="+", choices=[*SCENARIOS, SHORT.name], default=list(SCENARIOS)
    )
    parser.add_argument("--guarantee", nargs="+", choices=GUARANTEES, default=list(GUARANTEES))
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--quick", action="store_true", help="one blow of each kind per scenario")
    return parser.parse_args()


def _asked(options: argparse.Namespace) -> list[Scenario]:
    known = {**SCENARIOS, SHORT.name: SHORT}
    chosen = [known[name] for name in options.scenario]
    return [quick(scenario) for scenario in chosen] if options.quick else chosen


if __name__ == "__main__":
    sys.exit(main())
