"""Cases: odd test-case files, read and run."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from fuzz import bytes_mutation, json_mutation
from fuzz.target import Target
from fuzz.targets.events import TOPOLOGY, TRANSFER
from gress_ml.engine.stores import open_models
from gress_ml.errors import ConfigError
from gress_ml.offline.cases import read_cases, run_case
from gress_ml.topology.load import load_topology

FILE: dict[str, Any] = {
    "topology": "compression_selector.yaml",
    "tests": [
        {
            "name": "a decision",
            "features": {
                "transfer_history": [
                    {
                        "key": ["vm-17", "vm_memory", "wan"],
                        "values": {"hde_compression_ratio": 14.0, "hde_delta_hit_rate": 90.0},
                    }
                ]
            },
            "input": {"transfers": [TRANSFER, "{not json", {"vm_id": "vm-1"}]},
            "output": {"decisions": [{"request_id": "r-1", "streams": 1, "degraded": []}]},
            "dead_letters": {
                "transfers": [{"row": 1, "code": "invalid_json"}, {"row": 2, "code": "x"}]
            },
        }
    ],
}
_WORDS = ("transfers", "outcomes", "decisions", "transfer_history", "vm_id", "invalid_json", "row")


class Cases(Target):
    """One input is one file of cases."""

    name: ClassVar[str] = "cases"
    law: ClassVar[str] = "A file of cases is run to its end, or is a ConfigError."

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "topology_test.yaml"
        self._topology = load_topology(TOPOLOGY, open_models)
        settings = self._topology.settings
        self._models = open_models(settings.ml, settings.project)
        self._runner = asyncio.Runner()
        # An open plan holds the predictor, so that a case does not load it anew.
        self._held = self._topology.build(self._models, "transfers")

    def __exit__(self, *error: object) -> None:
        self._runner.close()
        self._folder.cleanup()

    def seeds(self) -> Sequence[bytes]:
        own = TOPOLOGY.with_name("compression_selector_test.yaml")
        return [json_mutation.dumped(FILE), own.read_bytes()]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        if random.random() < 0.6:
            return json_mutation.dumped(json_mutation.mutated(FILE, random, _WORDS), random)
        return bytes_mutation.mutated(random.choice(pool), random, pool)

    def check(self, data: bytes) -> str:
        self._path.write_bytes(data)
        try:
            _, cases = read_cases(self._path)
            outcomes = [self._run(case) for case in cases[:5]]
        except ConfigError as error:
            return str(error).replace(str(self._path), "FILE")
        return "; ".join(line for outcome in outcomes for line in outcome.differences) or "passed"

    def _run(self, case: Any) -> Any:
        return self._runner.run(run_case(self._topology, self._models, case))
