from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml import Batch, Output, SchemaError, Snapshot, SnapshotError
from gress_ml.dwcp.events import HISTORY_FIELDS, OUTCOME
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder
from gress_ml_operators.transfer_history import READS, TransferHistory, TransferHistoryConfig

DECODER = Decoder(OUTCOME)


def outcome(**fields: Any) -> dict[str, Any]:
    return {
        "request_id": "r",
        "vm_id": "vm-1",
        "timestamp": 1_767_571_200_000,
        "actual_algorithm": "hde",
        "payload_type": "text",
        "link_type": "wan",
        "payload_size": 1000,
        "bytes_sent": 100,
        "transfer_ms": 10.0,
        "delta_hit_rate": 50.0,
        **fields,
    }


def batch_of(*outcomes: dict[str, Any]) -> Batch:
    records = [FileRecord(at, orjson.dumps(event)) for at, event in enumerate(outcomes)]
    batch, rejected = DECODER.decode("dwcp.outcomes", 0, records)
    assert not rejected
    return batch


def history(**config: Any) -> TransferHistory:
    return TransferHistory(TransferHistoryConfig(**config))


def written(output: Output) -> dict[bytes, list[float]]:
    rows: dict[bytes, list[float]] = {}
    for write in output.writes:
        assert write.table == "transfer_history"
        assert write.fields == HISTORY_FIELDS
        assert write.rows.dtype == np.float32
        rows |= dict(zip(write.keys, write.rows.tolist(), strict=True))
    return rows


KEY = b"vm-1\x1ftext\x1fwan"


def test_an_hde_outcome_teaches_ratio_and_hits_only() -> None:
    (row,) = written(history().process(batch_of(outcome()))).values()
    np.testing.assert_equal(row, [10.0, 50.0, nan, nan])


def test_an_amst_outcome_teaches_the_rate_on_the_wire_only() -> None:
    event = outcome(actual_algorithm="amst", bytes_sent=125_000, delta_hit_rate=None)
    (row,) = written(history().process(batch_of(event))).values()
    np.testing.assert_equal(row, [nan, nan, 100.0, nan])


def test_a_dual_run_teaches_all() -> None:
    arms = {
        "hde": {"bytes_sent": 50, "delta_hit_rate": 80, "transfer_ms": 1.0},
        "amst": {"bytes_sent": 125_000, "transfer_ms": 10.0},
        "none": {"bytes_sent": 1000, "transfer_ms": 1.0},
    }
    event = outcome(actual_algorithm="none", arms=arms, baseline_ratio=3.0)
    (row,) = written(history().process(batch_of(event))).values()
    assert row == [20.0, 80.0, 100.0, 3.0]


def test_averages_lean_to_the_newest() -> None:
    operator = history(alpha=0.25)
    operator.process(batch_of(outcome(bytes_sent=100)))
    found = written(operator.process(batch_of(outcome(bytes_sent=50))))
    assert found[KEY][0] == 12.5


@pytest.mark.parametrize(
    "fields",
    [
        {"error": "the link broke"},
        {"error": "", "bytes_sent": 0},
    ],
)
def test_a_failed_transfer_teaches_nothing(fields: dict[str, Any]) -> None:
    output = history().process(batch_of(outcome(**fields)))
    assert not output.writes
    assert len(output.batch) == 1


@pytest.mark.parametrize(
    "arms",
    [
        {"hde": None},
        {"hde": {"bytes_sent": "many", "delta_hit_rate": True}},
        {"hde": {"bytes_sent": -5, "delta_hit_rate": -1}},
        {"hde": []},
        {},
        [1, 2],
        "hde",
    ],
)
def test_odd_arms_do_no_harm(arms: Any) -> None:
    rows = written(history().process(batch_of(outcome(arms=arms))))
    if isinstance(arms, dict):
        np.testing.assert_equal(rows[KEY], [nan] * 4)


def test_only_the_newest_keys_are_held() -> None:
    operator = history(max_keys=2)
    for vm in ("a", "b", "a", "c"):
        operator.process(batch_of(outcome(vm_id=vm)))
    operator.process(batch_of(outcome(vm_id="a", bytes_sent=10)))
    found = written(operator.process(batch_of(outcome(vm_id="b", bytes_sent=10))))
    assert found[b"b\x1ftext\x1fwan"][0] == 100.0  # b was forgotten, so it starts anew


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(SchemaError, match="payload_size"):
        history().signature({k: v for k, v in OUTCOME.columns.items() if k != "payload_size"})
    assert set(OUTCOME.columns) >= READS


@pytest.mark.parametrize("data", [b"", b"{", b'[["zz",1,2,3,4]]', b'[["00",1]]', b"7"])
def test_a_damaged_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        history().restore(Snapshot(1, data))


def test_a_snapshot_of_another_layout_is_refused() -> None:
    with pytest.raises(SnapshotError, match="layout 99"):
        history().restore(Snapshot(99, b"[]"))


events = st.builds(
    outcome,
    vm_id=st.sampled_from(["a", "b", "c", "d"]),
    actual_algorithm=st.sampled_from(["hde", "amst", "none"]),
    bytes_sent=st.integers(0, 5000),
    transfer_ms=st.floats(0, 100),
    error=st.sampled_from([None, None, None, "x"]),
)


@given(st.lists(events, max_size=12), st.data())
def test_neither_the_cut_nor_a_restart_shows(log: list[dict[str, Any]], data: Any) -> None:
    cut = data.draw(st.integers(0, len(log)))
    whole, first, second = (history(max_keys=3) for _ in range(3))
    expected = written(whole.process(batch_of(*log)))
    found = written(first.process(batch_of(*log[:cut])))
    second.restore(first.snapshot())
    found |= written(second.process(batch_of(*log[cut:])))
    np.testing.assert_equal(found, expected)
    assert second.snapshot() == whole.snapshot()
