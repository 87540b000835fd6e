"""Bundles: odd manifests, aliases, feature schemas, labels and scalers of a model."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from fuzz import bytes_mutation, json_mutation
from fuzz.target import Target, require
from gress_ml.batch import Batch
from gress_ml.errors import ModelCorrupt, ModelError, SchemaError
from gress_ml.features import FeatureSet
from gress_ml.inference import load_predictor
from gress_ml.registry import Registry
from gress_ml.registry.safety import sha256_of
from gress_ml.schema import Column, Columns, ColumnType, columns_of

_MODELS = Path(__file__).parents[2] / "tests" / "data" / "models" / "tiny-selector"
_NAME, _VERSION = "selector", "1.0.0"
_CHANGE = "00000001.json"  # the first change of its aliases

#: Four features, as the tiny model takes; every transform that gives one value, in turns.
_SCHEMA: dict[str, Any] = {
    "name": "fuzz-v4",
    "features": [
        {"name": "rtt_ms", "type": "numerical", "default": 1.0, "clip": [0, 1000], "unit": "ms"},
        {"name": "mbps", "type": "log", "source": "bandwidth", "range": [0, 10000]},
        {"name": "kind", "type": "categorical", "vocabulary": ["wan", "dc"]},
        {"name": "share", "type": "normalize", "expression": "mbps / 3", "min": 0, "max": 9},
    ],
}
_MORE: tuple[dict[str, Any], ...] = (
    {"name": "z", "type": "standardize", "mean": 1.0, "stddev": 2.0, "source": "rtt_ms"},
    {"name": "b", "type": "bucket", "boundaries": [1, 2.5, 10], "source": "rtt_ms"},
    {"name": "o", "type": "onehot", "vocabulary": ["a", "b"], "source": "kind"},
    {"name": "t", "type": "temporal", "parts": ["hour_sin"], "timezone": "Europe/Berlin"},
    {"name": "x", "type": "text", "parts": ["length"], "source": "kind"},
    {
        "name": "a",
        "type": "aggregation",
        "function": "ewma",
        "source": "rtt_ms",
        "key": ["kind"],
        "window": "1m",
        "half_life": "10s",
        "max_events": 5,
        "max_keys": 3,
        "default": 0.0,
    },
)


class Bundles(Target):
    """One input is the name of a file, a line feed and its content."""

    name: ClassVar[str] = "bundles"
    law: ClassVar[str] = "A bundle loads or is a ModelError; a changed file never passes unseen."

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        root = Path(self._folder.name)
        self._source = root / "source"
        shutil.copytree(_MODELS / "1.0.0", self._source)
        (self._source / "manifest.json").unlink()
        (self._source / "feature_schema.json").write_text(json.dumps(_SCHEMA))
        self._root = root / "models"
        folder = Registry(self._root).push(self._source, _NAME, _VERSION).folder
        Registry(self._root).alias(_NAME, "champion", _VERSION)
        self._bundle = folder
        files = [*folder.glob("*.json"), folder.parent / "aliases" / _CHANGE]
        self._good = {path.name: path.read_bytes() for path in files}

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def seeds(self) -> Sequence[bytes]:
        return [_input(name, content) for name, content in sorted(self._good.items())]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        if random.random() < 0.4:
            head, line, content = random.choice(pool).partition(b"\n")
            return head + line + bytes_mutation.mutated(content, random)
        name = random.choice([*sorted(self._good), "feature_schema.json"])
        value = json.loads(self._good[name])
        words: list[str] = []
        if name == "feature_schema.json":
            value["features"] += random.sample(_MORE, random.choice((0, 1, 2)))
            words = ["rtt_ms", "kind", "mbps", "numerical", "expression", "rtt_ms + 1", "keep"]
        changed = json_mutation.mutated(value, random, words)
        return _input(name, json_mutation.dumped(changed, random))

    def check(self, data: bytes) -> str:
        name, _, content = data.partition(b"\n")
        text = name.decode("utf-8", "replace")
        if text not in self._good:
            return "no such file"
        path = self._path(text)
        path.write_bytes(content)
        try:
            return f"{text}: {self._found(path, content)}"
        finally:
            for known, good in self._good.items():
                self._path(known).write_bytes(good)

    def _path(self, name: str) -> Path:
        return self._bundle.parent / "aliases" / name if name == _CHANGE else self._bundle / name

    def _found(self, path: Path, content: bytes) -> str:
        if path.name in ("manifest.json", _CHANGE):
            return self._opened()
        self._require_refused(content != self._good[path.name])
        if path.name == "feature_schema.json":
            _transform(content)
        self._sign(path)
        return f"{self._opened()} / {self._published(path, content)}"

    def _require_refused(self, changed: bool) -> None:
        try:
            Registry(self._root).find(_NAME, _VERSION)
        except ModelCorrupt:
            require(changed, "the file that was published passes")
        else:
            require(not changed, "a changed file is refused by its checksum")

    def _sign(self, path: Path) -> None:
        """The publisher is hostile: the manifest says what the file is."""
        manifest = json.loads(self._good["manifest.json"])
        for entry in manifest["files"].values():
            if entry["path"] == path.name:
                entry.update(sha256=sha256_of(path), size=path.stat().st_size)
        (self._bundle / "manifest.json").write_text(json.dumps(manifest))

    def _opened(self) -> str:
        try:
            registry = Registry(self._root)
            registry.verify()
            bundle = registry.find(_NAME)
            predictor = load_predictor(bundle)
            rows = np.zeros((2, predictor.inputs[0].width or 1), np.float32)
            predictor.predict(rows)
        except ModelError as error:
            return str(error).replace(self._folder.name, "")
        return "loads"

    def _published(self, path: Path, content: bytes) -> str:
        source = self._source / path.name
        before = source.read_bytes()
        source.write_bytes(content)
        try:
            bundle = Registry(self._root.with_name("other")).open_folder(self._source)
            Registry(self._root.with_name("pushed")).push(self._source, _NAME, "2.0.0")
            load_predictor(bundle)
        except ModelError as error:
            return str(error).replace(self._folder.name, "")
        finally:
            source.write_bytes(before)
            shutil.rmtree(self._root.with_name("pushed"), ignore_errors=True)
        return "publishes"


def _transform(content: bytes) -> None:
    """A schema that is accepted transforms rows, or says which column it lacks."""
    try:
        features = FeatureSet.from_json(content)
        again = FeatureSet.from_json(features.to_json())
        require(again.vector == features.vector, "a schema comes back as it was written")
        batch = _batch(features)
        features.check(_columns_of(features))
        vectors, rejected = features.transform(batch)
    except SchemaError:
        return
    require(vectors.shape == (len(batch), len(features.vector.names)), "one vector per row")
    good = np.delete(vectors, [row.offset for row in rejected], axis=0)
    require(not np.isinf(good).any(), "a vector holds no infinity")


def _columns_of(features: FeatureSet) -> Columns:
    return columns_of(Column(name, kind, nullable=True) for name, kind in features.needs.items())


_VALUES: dict[ColumnType, Any] = {
    ColumnType.FLOAT: np.array([0.0, np.nan, 1e300, -5.0]),
    ColumnType.INT: np.array([0, 1, 2**62, -1], np.int64),
    ColumnType.BOOL: np.array([True, False, True, True]),
    ColumnType.STRING: np.array(["wan", None, "", "dc"], object),
    ColumnType.TIMESTAMP: np.array([0, 10**12, -(2**63), 2**53], np.int64),
}


def _batch(features: FeatureSet) -> Batch:
    columns = {name: _VALUES[kind] for name, kind in features.needs.items()}
    times = np.array([0, 10**12, -(2**53), 2**53], np.int64)
    return Batch(
        topic="t",
        partition=0,
        offsets=np.arange(4),
        event_time_ms=times,
        keys=[b"a", None, b"", b"a"],
        columns=columns,
    )


def _input(name: str, content: bytes) -> bytes:
    return name.encode() + b"\n" + content
