from __future__ import annotations

from math import nan

import numpy as np
import pytest

from gress_ml.dwcp.rules import choose, choose_one


@pytest.mark.parametrize(
    ("rtt_ms", "bandwidth", "ratio", "hits", "expected"),
    [
        (0.5, 1000, 1, 0, "amst"),  # a data centre
        (0.5, 1000, 50, 99, "amst"),  # the first rule goes before
        (1.0, 1000, 11, 81, "hde"),  # 1 ms is not below 1 ms
        (0.5, 500, 11, 81, "hde"),  # 500 Mbit/s is not above 500
        (50, 200, 10, 81, "amst"),  # 10 is not above 10
        (50, 200, 11, 80, "amst"),  # 80 is not above 80
        (50, 99.9, 1, 0, "hde"),  # a slow link
        (50, 100, 1, 0, "amst"),  # 100 Mbit/s is not below 100
        (50, 200, nan, nan, "amst"),  # nothing is known
        (nan, nan, nan, nan, "amst"),
    ],
)
def test_the_first_rule_that_holds_decides(
    rtt_ms: float, bandwidth: float, ratio: float, hits: float, expected: str
) -> None:
    assert choose_one(rtt_ms, bandwidth, ratio, hits) == expected


def test_rows_do_not_look_at_each_other() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.uniform(0, top, 200) for top in (3, 800, 20, 100)]
    together = choose(*columns).tolist()
    assert together == [choose_one(*row) for row in zip(*columns, strict=True)]
    assert set(together) == {"hde", "amst"}
