"""Mutations make inputs; none fails at what an earlier one made."""

from random import Random

from fuzz import json_mutation


def test_integers_of_any_size_are_mutated() -> None:
    """The ``outcomes`` campaign once ended: 10**400 + 0.5 is no float."""
    value = {"big": 10**400, "list": [-(10**400), 2**63]}
    for seed in range(500):
        json_mutation.dumped(json_mutation.mutated(value, Random(seed)))
