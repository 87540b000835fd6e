"""Durations are seconds, however they are spelt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gress_ml.duration import Duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("50ms", 0.05),
        ("5s", 5.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("250us", 0.00025),
        ("0", 0.0),
        ("0ms", 0.0),
        (2, 2.0),
        (0.25, 0.25),
        (" 5s ", 5.0),
    ],
)
def test_a_duration_is_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "bad", ["", "fast", "5", "-5s", "5 s", "5x", "ms", "1e3s", -1, True, None, [], float("nan")]
)
def test_what_is_no_duration_is_refused_with_what_was_expected(bad: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as '50ms'"):
        parse_duration(bad)


@given(st.integers(0, 10_000_000))
def test_formatting_and_parsing_agree(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-5)


def test_pydantic_reports_what_was_expected() -> None:
    class Config(BaseModel):
        wait: Duration = 0.0

    assert Config.model_validate({"wait": "10ms"}).wait == 0.01
    with pytest.raises(ValidationError, match="found 'soon'"):
        Config.model_validate({"wait": "soon"})
    assert "anyOf" in Config.model_json_schema()["properties"]["wait"]
