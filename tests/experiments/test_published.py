"""The value of the topic: what is taken, and what is told and changes nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.experiments import Split, decode_split, encode_split, published_split

OWN = Split.of({"a": 90.0, "b": 10.0})
WEIGHTS = st.fixed_dictionaries({"a": st.integers(1, 99), "b": st.integers(1, 99)})


@given(st.lists(WEIGHTS, min_size=1, max_size=5), WEIGHTS)
def test_a_value_says_the_whole_split_whatever_the_topology_says(
    history: list[dict[str, int]], own: dict[str, int]
) -> None:
    split = OWN
    for weights in history:
        split = split.changed(weights)
    value = encode_split(split, history[-1])
    assert decode_split(value, Split.of(own)).ranges == split.ranges
    again = published_split(value)
    assert again is not None
    assert again.ranges == split.ranges


def test_the_order_in_which_arms_are_named_does_not_matter() -> None:
    own = Split.of({"c": 1, "b": 1, "a": 1})
    split = Split.of({"a": 2, "b": 1, "c": 1}).changed({"b": 1, "a": 1, "c": 1})
    assert decode_split(encode_split(split, {"a": 1, "c": 1, "b": 1}), own).ranges == split.ranges


def test_weights_alone_change_the_split_of_the_topology() -> None:
    split = decode_split('{"weights": {"b": 25, "a": 75}, "by": "hand"}', OWN)
    assert split.moved(OWN.changed({"a": 75, "b": 25})) == 0
    assert published_split('{"weights": {"b": 25, "a": 75}}') is None


def _value(weights: dict[str, float], **buckets: list[list[int]]) -> str:
    return json.dumps({"weights": weights, "buckets": buckets})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "expected"),
        ("[]", "expected"),
        ("{}", "weights"),
        ("\ufffd", "expected"),
        ('{"weights": {"a": "much", "b": 1}}', "weights"),
        ('{"weights": {"a": 1}}', "one for each of"),
        ('{"weights": {"a": 1, "b": 1, "c": 1}}', "one for each of"),
        ('{"weights": {"a": -1, "b": 1}}', "weight -1"),
        ('{"weights": {"a": 0, "b": 0}}', "above 0"),
        (_value({"a": 1, "b": 1}, a=[[0, 5000]]), "bucket 5000 has no arm"),
        (_value({"a": 1, "b": 1}, a=[[0, 10_000]], c=[[1, 2]]), "unknown arm 'c'"),
        (_value({"a": 1, "b": 1}, a=[[0, 6000]], b=[[6000, 10_000]]), "the weights make"),
        (_value({"a": 1, "b": 1}, a=[[0]], b=[[1, 10_000]]), "buckets"),
    ],
)
def test_what_is_no_split_of_these_arms_is_refused(value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_split(value, OWN)


@given(st.text())
def test_any_text_is_a_split_or_refused(text: str) -> None:
    try:
        split = decode_split(text, OWN)
    except ValueError:
        return
    assert split.sizes.sum() == len(split.owners)
