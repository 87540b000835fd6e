"""The JSON Schema of the topic gress.experiments, beside what workers read and write."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import orjson
import pytest

from gress_ml.experiments.published import decode_split, encode_split
from gress_ml.experiments.split import Split

FILE = Path(__file__).parents[2] / "docs" / "contracts" / "gress.experiments.schema.json"
SCHEMA = orjson.loads(FILE.read_bytes())
OWN = Split.of({"a": 80.0, "b": 20.0})


def fits(value: bytes) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(orjson.loads(value)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("weights", [{"a": 50.0, "b": 50.0}, {"a": 0.0, "b": 1.0}])
def test_what_is_published_fits(weights: dict[str, float]) -> None:
    value = encode_split(OWN.changed(weights), weights)
    assert fits(value)
    assert decode_split(value, OWN).sizes.tolist() == OWN.changed(weights).sizes.tolist()


@pytest.mark.parametrize(
    "value", [b'{"weights": {"a": 1, "b": 3}}', b'{"weights": {"a": 1, "b": 0}}']
)
def test_what_workers_take_fits(value: bytes) -> None:
    decode_split(value, OWN)
    assert fits(value)


@pytest.mark.parametrize(
    "value",
    [
        b"{}",
        b"[]",
        b'{"weights": {}}',
        b'{"weights": {"a": "half", "b": 1}}',
        b'{"weights": {"a": -1, "b": 2}}',
        b'{"weights": {"a": 1, "b": 1}, "buckets": {"a": [[0]], "b": [[1, 10000]]}}',
        b'{"weights": {"a": 1, "b": 1}, "buckets": {"a": [[0, 5000]], "b": [[5000, 10001]]}}',
    ],
)
def test_what_does_not_fit_is_refused_by_workers(value: bytes) -> None:
    assert not fits(value)
    with pytest.raises(ValueError, match=r"\S"):
        decode_split(value, OWN)
