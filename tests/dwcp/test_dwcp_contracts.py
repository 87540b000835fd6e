from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import orjson
import pytest

from gress_ml import Context
from gress_ml.dwcp.codecs import baseline_ratio
from gress_ml.dwcp.contracts import documents, json_schema, write
from gress_ml.dwcp.dataset import outcomes, read, transfers
from gress_ml.dwcp.events import DECISION, HISTORY_FIELDS, OUTCOME, SCHEMAS, TRANSFER
from gress_ml.dwcp.transfers import failure_of
from gress_ml.features import FeatureSet
from gress_ml.record import FileRecord
from gress_ml.registry import Registry
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.encode import encode_rows
from gress_ml.topology.load import load_topology
from gress_ml_operators.compression_selector import CompressionSelector, CompressionSelectorConfig

ROOT = Path(__file__).parents[2]

#: The example of a transfer that other programs were given.
EXAMPLE = {
    "request_id": "r-8f3a",
    "session_id": "s-12",
    "vm_id": "vm-17",
    "timestamp": "2026-11-21T00:00:00.123Z",
    "link_type": "wan",
    "region": "us-east-1",
    "network_tier": 3,
    "bandwidth_available_mbps": 80.0,
    "bandwidth_utilization": 35.0,
    "rtt_ms": 62.1,
    "jitter_ms": 4.0,
    "packet_loss": 0.001,
    "payload_size": 1048576,
    "payload_type": "vm_memory",
    "entropy_estimate": 5.1,
    "repetition_score": 40.0,
    "compressibility_score": 0.6,
    "has_baseline": True,
    "cpu_usage": 35.0,
    "memory_available_mb": 8123,
}
REQUIRED = (
    "request_id",
    "vm_id",
    "timestamp",
    "link_type",
    "rtt_ms",
    "bandwidth_available_mbps",
    "payload_size",
)


@pytest.fixture(scope="module")
def samples() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Transfers and their outcomes, as measured."""
    data = read(ROOT / "tests" / "data" / "transfers-sample.parquet")
    some = data.take(range(0, len(data), 400))
    return [*zip(transfers(some), outcomes(some), strict=True)]


def validate(message: dict[str, Any], schema: Any) -> None:
    jsonschema.validate(
        orjson.loads(orjson.dumps(message)), json_schema(schema), jsonschema.Draft202012Validator
    )


def decoded(event: dict[str, Any]) -> tuple[int, list[str]]:
    batch, rejected = Decoder(TRANSFER).decode("t", 0, [FileRecord(0, orjson.dumps(event))])
    return len(batch), [row.code for row in rejected]


@pytest.mark.parametrize("name", documents())
def test_the_published_contracts_are_up_to_date(name: str) -> None:
    published = (ROOT / "docs" / "contracts" / name).read_text(encoding="utf-8")
    assert published == documents()[name], "run: python -m gress_ml.dwcp.contracts docs/contracts"


def test_contracts_can_be_written_anywhere(tmp_path: Path) -> None:
    assert {path.name for path in write(tmp_path / "new")} == set(documents())


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_each_contract_is_a_valid_json_schema(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(schema))


def test_the_example_is_accepted_by_contract_and_decoder() -> None:
    validate(EXAMPLE, TRANSFER)
    assert decoded(EXAMPLE) == (1, [])
    least = {name: EXAMPLE[name] for name in REQUIRED}
    validate(least, TRANSFER)
    assert decoded({**least, "something": "new"}) == (1, [])


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_required_is_missed(name: str) -> None:
    less = {key: value for key, value in EXAMPLE.items() if key != name}
    with pytest.raises(jsonschema.ValidationError):
        validate(less, TRANSFER)
    assert decoded(less) == (0, ["missing_field"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("entropy_estimate", 8.1),
        ("compressibility_score", 60.0),
        ("packet_loss", 1.5),
        ("cpu_usage", 101),
        ("rtt_ms", -1),
        ("payload_size", 0),
        ("bandwidth_available_mbps", 0),
        ("network_tier", 4),
        ("payload_size", "1048576"),
        ("vm_id", 17),
    ],
)
def test_mixed_units_and_wrong_types_are_caught(name: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate({**EXAMPLE, name: value}, TRANSFER)
    assert decoded({**EXAMPLE, name: value})[0] == 0


def test_our_transfers_and_outcomes_keep_the_contract(samples: list[Any]) -> None:
    for transfer, outcome in samples:
        validate(transfer, TRANSFER)
        validate(outcome, OUTCOME)
    validate(failure_of(samples[0][0], "hde", "broken", time_ms=0), OUTCOME)
    assert baseline_ratio(b"") > 0


def test_our_decisions_keep_the_contract(samples: list[Any]) -> None:
    store = Registry(ROOT / "models")
    topology = load_topology(ROOT / "topologies" / "compression_selector.yaml", store)
    (output,) = topology.outputs
    experiment = {"experiment", "variant", "propensity"}
    assert set(output.fields) == {field.name for field in DECISION.fields} - experiment
    records = [FileRecord(at, orjson.dumps(transfer)) for at, (transfer, _) in enumerate(samples)]
    batch, rejected = Decoder(TRANSFER).decode("dwcp.transfers", 3, records)
    assert not rejected
    bundle = store.find("compression-selector")
    features = FeatureSet.from_json(bundle.require("feature_schema").read_bytes())
    matrix, _ = features.transform(batch)
    operator = CompressionSelector(CompressionSelectorConfig())
    operator.open(Context(store))
    known = batch.with_columns({"features": matrix}).with_degraded("feature_store")
    for output_batch in (operator.process(known).batch, operator.fallback(known, "timeout").batch):
        for value in encode_rows(output_batch, output.fields):
            validate(orjson.loads(value), DECISION)


def test_history_fields_may_come_in_the_event() -> None:
    names = {field.name for field in TRANSFER.fields}
    assert set(HISTORY_FIELDS) <= names
    past = dict.fromkeys(HISTORY_FIELDS, 5.0)
    assert decoded({**EXAMPLE, **past}) == (1, [])
    np.testing.assert_equal(len(HISTORY_FIELDS), 4)
