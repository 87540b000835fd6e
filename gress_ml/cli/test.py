"""``gress test``: run the tests that users write beside their topologies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gress_ml.engine.stores import open_models
from gress_ml.offline.cases import read_cases, run_case
from gress_ml.topology.load import load_topology


def test(
    files: Annotated[list[Path], typer.Argument(help="Test files.", metavar="FILE_test.yaml...")],
) -> None:
    """Run tests of topologies, without a broker: rows in, rows and dead letters out."""
    console = Console(highlight=False, soft_wrap=True)
    passed = failed = 0
    for file in files:
        path, cases = read_cases(file)
        topology = load_topology(path, open_models)
        models = open_models(topology.settings.ml, topology.settings.project)
        for case in cases:
            outcome = asyncio.run(run_case(topology, models, case))
            if outcome.differences:
                failed += 1
                console.print("✗", style="red", end=" ")
            else:
                passed += 1
                console.print("✓", style="green", end=" ")
            console.print(f"{file}: {outcome.name}", markup=False)
            for line in outcome.differences:
                console.print(f"    {line}", markup=False)
    console.print(f"{passed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)
