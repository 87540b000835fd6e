"""Cases: a user's tests of a topology, in YAML beside it; rows in, rows and dead letters out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.errors import ConfigError
from gress_ml.features.keys import SEPARATOR
from gress_ml.offline.run import Dead, OfflineRun, Sent
from gress_ml.ports import FeatureStore, ModelStore
from gress_ml.record import FileRecord
from gress_ml.topology.document import read_file
from gress_ml.topology.environment import NoEnvironment
from gress_ml.topology.findings import Findings, TooMany
from gress_ml.topology.topology import Topology

#: How far numbers may be from what a case expects, relative and absolute.
_TOLERANCE = 1e-6


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredRow(Strict):
    """A row that the feature store has before the case begins."""

    key: Sequence[str]
    values: Mapping[str, float]


class ExpectedDeadLetter(Strict):
    """A dead letter: which row (from 0) and the code."""

    row: int = Field(ge=0)
    code: str


class Case(Strict):
    """One test: rows per input, the members expected of each message per output."""

    name: str
    features: Mapping[str, Sequence[StoredRow]] = Field(default_factory=dict)
    #: Per input, in this order: JSON objects, or text for what is not JSON.
    input: Mapping[str, Sequence[Any]]
    #: Per output name: members that must be equal; others are not looked at.
    output: Mapping[str, Sequence[Mapping[str, Any]]] = Field(default_factory=dict)
    dead_letters: Mapping[str, Sequence[ExpectedDeadLetter]] = Field(default_factory=dict)


class CaseFile(Strict):
    """A file of cases. ``topology`` is relative to it; default: its name without ``_test``."""

    topology: str | None = None
    tests: Sequence[Case] = Field(min_length=1)


@dataclass(slots=True)
class Outcome:
    """How a case ended: no differences is a pass."""

    name: str
    differences: list[str] = field(default_factory=list)


def read_cases(path: Path) -> tuple[Path, Sequence[Case]]:
    """The topology's path and the cases of a file. Raises ConfigError."""
    findings = Findings(str(path))
    file: CaseFile | None = None
    with suppress(TooMany):
        file = _read(path, findings)
    if file is None or findings:
        raise ConfigError(findings.sorted())
    topology = file.topology or path.name.replace("_test", "", 1)
    return path.parent / topology, file.tests


def _read(path: Path, findings: Findings) -> CaseFile | None:
    document = read_file(path, NoEnvironment(), findings)
    if findings:
        return None
    try:
        return CaseFile.model_validate(document.value)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            findings.add(document.value_place(fault["loc"]), fault["loc"], fault["msg"])
        return None


async def run_case(topology: Topology, models: ModelStore, case: Case) -> Outcome:
    """Run one case on fresh operators and an empty feature store. Raises ConfigError."""
    store = MemoryFeatures(ManualClock())
    await _fill(store, case)
    run = OfflineRun(topology, models, store)
    outcome = Outcome(case.name)
    sent: list[Sent] = []
    dead: dict[str, list[Dead]] = {}
    try:
        for name, rows in case.input.items():
            if name not in topology.inputs:
                known = ", ".join(sorted(topology.inputs))
                raise ConfigError(f"case {case.name!r}: no input {name!r}; there are: {known}")
            for made in await run.run(topology.inputs[name], _records(rows)):
                sent.extend(made.sent)
                dead.setdefault(name, []).extend(made.dead)
    finally:
        run.close()
    _compare_outputs(topology, case, sent, outcome)
    _compare_dead(case, dead, outcome)
    return outcome


async def _fill(store: FeatureStore, case: Case) -> None:
    for table, rows in case.features.items():
        for row in rows:
            fields = tuple(row.values)
            with np.errstate(over="ignore"):
                values = np.array([list(row.values.values())], np.float64).astype(np.float32)
            await store.put(table, fields, [_utf8(SEPARATOR.join(row.key))], values)


def _records(rows: Sequence[Any]) -> list[FileRecord]:
    """Events as a sender writes them, a faulty one too: ``.nan`` as ``NaN``, which is not JSON."""
    texts = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    return [FileRecord(offset, _utf8(text)) for offset, text in enumerate(texts)]


def _utf8(text: str) -> bytes:
    """The bytes of a text; a lone surrogate becomes what a faulty sender makes of it."""
    return text.encode("utf-8", "surrogatepass")


def _compare_outputs(
    topology: Topology, case: Case, sent: Sequence[Sent], outcome: Outcome
) -> None:
    topics = {output.name: output.topic for output in topology.outputs}
    for name, expected in case.output.items():
        if name not in topics:
            known = ", ".join(sorted(topics))
            raise ConfigError(f"case {case.name!r}: no output {name!r}; there are: {known}")
        found = [orjson.loads(message.value) for message in sent if message.topic == topics[name]]
        if len(found) != len(expected):
            outcome.differences.append(
                f"{name}: expected {len(expected)} messages, found {len(found)}"
            )
        for row, (wanted, message) in enumerate(zip(expected, found, strict=False)):
            outcome.differences.extend(_differences(f"{name}[{row}]", wanted, message))


def _compare_dead(case: Case, dead: Mapping[str, Sequence[Dead]], outcome: Outcome) -> None:
    for name in {**case.input, **case.dead_letters}:
        wanted = {(letter.row, letter.code) for letter in case.dead_letters.get(name, ())}
        letters = {(letter.row, letter.code): letter for letter in dead.get(name, ())}
        for row, code in sorted(wanted - letters.keys()):
            outcome.differences.append(f"{name}[{row}]: expected a dead letter {code!r}")
        for row, code in sorted(letters.keys() - wanted):
            message = letters[(row, code)].message
            outcome.differences.append(f"{name}[{row}]: dead letter {code!r}: {message}")


def _differences(where: str, wanted: Any, found: Any) -> list[str]:
    """What of ``wanted`` is not so in ``found``; numbers within the tolerance are equal."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return [f"{where}: expected an object, found {found!r}"]
        return [
            line
            for name, value in wanted.items()
            for line in (
                _differences(f"{where}.{name}", value, found[name])
                if name in found
                else [f"{where}.{name}: expected {value!r}, found nothing"]
            )
        ]
    if _close(wanted, found):
        return []
    return [f"{where}: expected {wanted!r}, found {found!r}"]


def _close(wanted: Any, found: Any) -> bool:
    numbers = (int, float)
    plain = not isinstance(wanted, bool) and not isinstance(found, bool)
    if plain and isinstance(wanted, numbers) and isinstance(found, numbers):
        return abs(wanted - found) <= _TOLERANCE * max(1.0, abs(wanted))
    return bool(wanted == found)
