"""Draft: a topology file while it is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gress_ml.schema import Columns
from gress_ml.topology.document import Document
from gress_ml.topology.findings import Findings, KeyPath
from gress_ml.topology.spec import TopologySpec


@dataclass(frozen=True, slots=True)
class Draft:
    """The document, its typed form (repaired where it was faulty) and the findings so far."""

    document: Document
    spec: TopologySpec
    findings: Findings
    project: Path
    #: Columns whose declared type is wrong: what does not fit them is not another fault.
    doubtful: set[str] = field(default_factory=set)
    #: Streams (``step.side``) that are made after the answer has left.
    late: set[str] = field(default_factory=set)
    #: Entries of the ml block, by their path in it, and the step that runs each.
    entries: dict[KeyPath, str] = field(default_factory=dict)

    def given(self, *path: str | int) -> bool:
        """Whether the file has a value here, right or wrong; null is none."""
        return self.document.get(path) is not None or path in self.document.unknown

    def misspelt(self, *path: str | int) -> bool:
        """Whether the file has this key under a wrong name, which has its finding."""
        return path in self.document.misspelt

    def at_value(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Report a fault at a value."""
        self.findings.add(self.document.value_place(path), path, message, hint)

    def at_key(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Report a fault at a key."""
        self.findings.add(self.document.key_place(path), path, message, hint)


#: The columns of each stream by its name (an input, a step, ``step.side``); None is not known,
#: because of a fault that has its finding.
Streams = dict[str, Columns | None]
