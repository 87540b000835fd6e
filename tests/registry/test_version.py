"""Versions are ordered as numbers, by SemVer 2.0."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.registry import Version

numbers = st.integers(0, 1000)
identifiers = st.one_of(numbers, st.from_regex(r"[a-z]{1,3}", fullmatch=True))
versions = st.builds(
    Version, numbers, numbers, numbers, st.lists(identifiers, max_size=3).map(tuple)
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1.2.3", "1.2.3"),
        ("v2.0", "2.0.0"),
        ("V2", "2.0.0"),
        ("2", "2.0.0"),
        ("2.0.0-rc1", "2.0.0-rc1"),
        ("v1.2-rc.1+build.7", "1.2.0-rc.1+build.7"),
        ("1.0.0-0a", "1.0.0-0a"),
    ],
)
def test_a_version_has_one_canonical_form(text: str, canonical: str) -> None:
    assert str(Version.parse(text)) == canonical


@pytest.mark.parametrize(
    "text", ["", "x", "1.2.3.4", "01.2.0", "1.02", "1.0.0-01", "1.0.0-", "1.0 ", "1..2", "-1", "١"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        Version.parse(text)


def test_the_order_is_that_of_semver() -> None:
    """The chain of semver.org, section 11, and numbers that text would order wrongly."""
    chain = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.9.0",
        "1.10.0",
        "2.0.0",
        "10.0.0",
    ]
    parsed = [Version.parse(text) for text in chain]
    for earlier, later in itertools.combinations(parsed, 2):
        assert earlier < later
        assert later > earlier
    parsed.reverse()
    assert [str(version) for version in sorted(parsed)] == chain


@given(versions, versions, versions)
def test_the_order_is_total(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (a == b) + (a > b) == 1
    if a <= b <= c:
        assert a <= c


@given(versions)
def test_the_canonical_form_parses_back(version: Version) -> None:
    assert Version.parse(str(version)) == version
    assert Version.parse(f"v{version}") == version


@given(st.tuples(numbers, numbers, numbers), st.tuples(numbers, numbers, numbers))
def test_releases_compare_as_their_numbers(
    a: tuple[int, int, int], b: tuple[int, int, int]
) -> None:
    assert (Version(*a) < Version(*b)) == (a < b)
