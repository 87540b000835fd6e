"""Topologies: odd YAML, read and checked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from ruamel.yaml import YAML

from fuzz import bytes_mutation, json_mutation
from fuzz.target import Target, require
from gress_ml.engine.planning import build_plan
from gress_ml.errors import ConfigError, ModelError, SchemaError
from gress_ml.registry import Registry
from gress_ml.topology.document import MAX_BYTES
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

_ROOT = Path(__file__).parents[2]
_WORDS = (
    "transfers", "features", "select", "history", "select.side", "float", "int", "timestamp",
    "json", "bool", "string", "vm_id", "request_id", "rtt_ms", "decision_id", "redis", "memory",
    "compression-selector", "compression_selector", "feature_extraction", "inference",
    "transfer_history", "tiny-net@1.0.0", "dwcp.transfer", "dwcp.outcome", "rtt_ms > 3", "when",
    "${HOME:-x}", "${SECRET}", "${MISSING}", "1h", "0ms", "exactly_once", "minimum", "default",
    "choices", "path", "a.b", "a", "type", "required", "key", "from", "expression", "<<",
)  # fmt: skip
_LINES = (
    "  <<: *x", "a: &x {b: 1}", "- *x", "&x", "!!python/object:os.system ls", "? {a: b}", "---",
    "...", "%YAML 1.9", "%TAG ! tag:x,2000:", "\t", "key: |", "key: >-", "  - - - -", "a: b: c",
    "'", '"', "# comment", "{", "}", "[[[[[[[[", "a: ${SECRET}", "a: .inf", "a: .nan", "a: 0x1f",
)  # fmt: skip
_ENDLESS = (
    b"[", b"{a: ", b"- ", b"? ", b"a: ", b"&a ", b"- *a\n", b"'", b"!", b"|\n", b"word\n", b"1",
    b"${A", b"${A:-", b"[a, b, ", b"---\n", b"<<: {a: 1}\n", b"- ${SECRET}\n", b"name: a\n",
)  # fmt: skip
_ENVIRONMENT = {"SECRET": "hush-hush", "EMPTY": "", "NUMBER": "7"}

SMALL: dict[str, Any] = {
    "name": "small",
    "batch": {"size": 10, "timeout": "5ms"},
    "retry": {"attempts": 3, "backoff": "1s", "backoff_max": 5.0},
    "inputs": {
        "events": {
            "topic": "events",
            "event_time": "when",
            "fields": {
                "when": {"type": "timestamp", "required": True},
                "amount": {"type": "float", "minimum": 0, "maximum": 100, "unit": "EUR"},
                "count": {"type": "int", "default": 1, "minimum": -5, "path": "a.count"},
                "kind": {"type": "string", "choices": ["x", "y"], "path": "a.kind"},
                "flag": {"type": "bool", "default": False},
                "more": "json",
                "user": "string",
            },
        }
    },
    "steps": [
        {
            "name": "features",
            "operator": "feature_extraction",
            "input": "events",
            "config": {
                "features": [
                    {"name": "amount", "type": "numerical", "missing": "indicator"},
                    {"name": "n", "type": "normalize", "source": "amount", "min": 0, "max": 10},
                    {"name": "l", "type": "log", "expression": "amount + count", "default": 0},
                    {"name": "b", "type": "bucket", "source": "amount", "boundaries": [1, 2, 3]},
                    {"name": "kind", "type": "onehot", "vocabulary": ["x", "y"]},
                    {
                        "name": "sums",
                        "type": "aggregation",
                        "function": "sum",
                        "source": "amount",
                        "key": ["user"],
                        "window": "1m",
                        "default": 0.0,
                    },
                    {"name": "t", "type": "temporal", "source": "when", "parts": ["hour"]},
                ]
            },
        },
    ],
    "outputs": {
        "out": {
            "topic": "out",
            "from": "features",
            "when": "amount > 1 and kind in ('x',)",
            "key": "user",
            "fields": {"u": "user", "f": "features", "id": "offset"},
        }
    },
    "ml": {"feature_store": {"backend": "memory", "ttl": "1h"}},
}


class Topologies(Target):
    """One input is one topology file."""

    name: ClassVar[str] = "topologies"
    law: ClassVar[str] = "A file is a topology that can be built, or a ConfigError with places."

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "topology.yaml"
        self._models = Registry(_ROOT / "models")
        self._kept: list[Any] = []  # predictors stay loaded while someone holds them

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def seeds(self) -> Sequence[bytes]:
        files = [
            _ROOT / "topologies" / "compression_selector.yaml",
            _ROOT / "tests" / "topology" / "valid.yaml",
            _ROOT / "tests" / "topology" / "faulty.yaml",
        ]
        return [json_mutation.dumped(SMALL), *(path.read_bytes() for path in files)]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        if random.random() < 0.005:
            return _large(random)
        match random.randrange(4):
            case 0:
                return bytes_mutation.mutated(random.choice(pool), random, pool)
            case 1:
                return _lines(random.choice(pool), random)
            case _:
                value = random.choice([SMALL, *_values(tuple(self.seeds()[1:3]))])
                return json_mutation.dumped(json_mutation.mutated(value, random, _WORDS), random)

    def check(self, data: bytes) -> str:
        self._path.write_bytes(data)
        try:
            topology = load_topology(self._path, self._models, _ENVIRONMENT)
        except ConfigError as error:
            self._require_places(data, error)
            require("hush-hush" not in str(error) or b"hush" in data, "secrets are not shown")
            return "; ".join(sorted({finding.message for finding in error.findings})[:3])
        self._build(topology)
        return "accepted"

    def _build(self, topology: Topology) -> None:
        """What is accepted can be built; a model may still refuse what is asked of it."""
        for source in topology.inputs.values():
            try:
                plan = build_plan(topology, source, self._models)
            except (ModelError, SchemaError):
                continue
            self._kept = [plan]
            plan.close()

    def _require_places(self, data: bytes, error: ConfigError) -> None:
        lines = data.decode("utf-8", "replace").removeprefix("\ufeff")
        count = len(lines.splitlines()) + 1
        for finding in error.findings:
            if finding.file != str(self._path):
                continue
            inside = 1 <= finding.line <= count and 1 <= finding.column <= len(data) + 1
            require(inside, f"a finding has a place in the file: {finding} of {count} lines")
            finding.message.encode()
            str(finding).encode()


def _large(random: Random) -> bytes:
    """One thing, again and again, up to the largest file that is read."""
    start = random.choice((b"", b"name: ", b"name: a\ninputs:\n  e:\n    fields:\n      "))
    return start + (random.choice(_ENDLESS) * MAX_BYTES)[: MAX_BYTES - len(start)]


def _lines(data: bytes, random: Random) -> bytes:
    """Lines taken away, doubled, moved, indented; others put in."""
    lines = data.split(b"\n")
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(lines))
        match random.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[random.randrange(len(lines))])
            case 2:
                lines[at] = b" " * random.randrange(9) + lines[at].lstrip()
            case 3:
                indent = len(lines[at]) - len(lines[at].lstrip())
                lines.insert(at, b" " * indent + random.choice(_LINES).encode())
            case 4:
                word = random.choice(_WORDS).encode()
                key, colon, _ = lines[at].partition(b":")
                lines[at] = key + colon + b" " + word
            case _:
                value = random.choice(json_mutation.ODD)
                key, colon, _ = lines[at].partition(b":")
                lines[at] = key + colon + b" " + json_mutation.dumped(value)
        lines = lines or [b""]
    return b"\n".join(lines)


@cache
def _values(files: tuple[bytes, ...]) -> list[Any]:
    yaml = YAML(typ="safe", pure=True)
    return [yaml.load(data.decode()) for data in files]
