"""Lane: a topology under a guarantee, with a group, topics and state of its own.

All lanes of a storm read the same log, so that they see the same events and the same blows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ruamel.yaml import YAML

from benchmarks.chaos.subject import PROJECT, Subject

Guarantee = Literal["at_least_once", "exactly_once"]
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)

TRANSFERS, OUTCOMES = "dwcp.transfers", "dwcp.outcomes"
#: A topic that stays empty.
NO_OUTCOMES = "chaos.no-outcomes"
_COMMIT_INTERVAL = "100ms"
#: Where models come from, unless a scenario has a registry of its own.
SHIPPED: Mapping[str, Any] = {"base_path": str(PROJECT / "models")}


@dataclass(frozen=True, slots=True)
class Lane:
    """``undisturbed`` is the lane that the others are compared with."""

    subject: Subject
    guarantee: Guarantee
    undisturbed: bool = False
    world: int = 0  # of the subject's, where undisturbed

    @property
    def name(self) -> str:
        """Its consumer group, and the first part of the names of its topics."""
        how = f"undisturbed-{self.world}" if self.undisturbed else self.guarantee
        return f"{self.subject.name}.{how}"

    @property
    def once(self) -> bool:
        """Whether nothing may be written twice."""
        return self.guarantee == "exactly_once"

    @property
    def inputs(self) -> list[str]:
        """The topics that it reads."""
        return [str(spec["topic"]) for spec in self._document()["inputs"].values()]

    @property
    def outputs(self) -> Mapping[str, str]:
        """Topics by output."""
        return {name: f"{self.name}.{name}" for name in self._document()["outputs"]}

    @property
    def dead_letters(self) -> str:
        """Topic of the transfers that cannot be decided."""
        return f"{self.name}.{self._main_input()}.dlq"

    @property
    def topics(self) -> list[str]:
        """All topics that it writes."""
        inputs = self._document()["inputs"]
        return [*self.outputs.values(), *(f"{self.name}.{name}.dlq" for name in inputs)]

    def write_file(
        self, folder: Path, checkpoints: Path, registry: Mapping[str, Any] = SHIPPED
    ) -> Path:
        """The topology file as this lane runs it; ``registry`` is its ``ml.model_registry``."""
        document = self._document()
        document["name"] = self.name
        document["guarantee"] = self.guarantee
        document["commit_interval"] = _COMMIT_INTERVAL
        document["checkpoint_dir"] = str(checkpoints)
        document.setdefault("ml", {})["model_registry"] = dict(registry)
        for name, spec in document["inputs"].items():
            if self.undisturbed and spec["topic"] == OUTCOMES:
                # what was learnt is in the store; to learn it again would undo it for a while
                spec["topic"] = NO_OUTCOMES
            spec["dead_letters"] = f"{self.name}.{name}.dlq"
        for name, spec in document["outputs"].items():
            spec["topic"] = self.outputs[name]
        for step in document["steps"]:
            config = step.setdefault("config", {})
            config.update(self.subject.changes.get(step["name"], {}))
            if self.undisturbed:
                config.update(self.subject.worlds[self.world].get(step["name"], {}))
        path = folder / "topologies" / f"{self.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            YAML(typ="safe").dump(document, file)
        return path

    def _main_input(self) -> str:
        inputs = self._document()["inputs"]
        return next(str(name) for name, spec in inputs.items() if spec["topic"] == TRANSFERS)

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = YAML(typ="safe").load(self.subject.file)
        return document
