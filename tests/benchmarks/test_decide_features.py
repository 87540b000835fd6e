"""What the benchmarks compute by hand are the features that the bundled model was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson

from benchmarks import decide, decide_one
from benchmarks.decode import plain, typed
from gress_ml.dwcp.dataset import read, transfers
from gress_ml.dwcp.features import feature_spec_v2
from gress_ml.dwcp.training.table import decoded, features_of

SAMPLE = Path(__file__).parents[1] / "data" / "transfers-sample.parquet"


def test_features_by_hand_are_those_of_the_schema_bit_for_bit() -> None:
    data = read(SAMPLE)
    events = [*transfers(data.take(np.arange(0, len(data), 20)))]
    expected, _ = features_of(decoded(events), feature_spec_v2())
    encoded = [orjson.dumps(event) for event in events]
    for decode in (typed, plain):
        np.testing.assert_array_equal(decide.features_of(decode(encoded)), expected)
    alone = np.concatenate([decide_one.features_of(event) for event in events])
    np.testing.assert_array_equal(alone, expected)
