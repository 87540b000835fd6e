"""What an object holds is read and set, and it stays as quick as it was."""

from __future__ import annotations

import gc
import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, optim

from gress_ml.learning.attributes import attributes_of, is_plain, set_attributes
from gress_ml.learning.structure import load, save


def new_class() -> type[Any]:
    """A class of its own for each test: CPython keeps no more than the names of the first objects
    of a class beside their dictionaries."""
    return type("Anything", (), {"shared": "of the class"})


def made_of(kind: type[Any], **attributes: Any) -> Any:
    """An object with these attributes, whose dictionary nobody has asked for."""
    made = kind()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


class Slotted:
    __slots__ = ("own",)


class Saved:
    def __getstate__(self) -> object:
        return 1


class Listed(list[int]):
    pass


class Guarded:
    """Its attribute ``level`` is set through a property."""

    @property
    def level(self) -> int:
        return 1

    @level.setter
    def level(self, value: int) -> None:
        raise AssertionError("a setter was called")


def has_dictionary(found: object) -> bool:
    """Whether CPython keeps a dictionary of an object's attributes."""
    return any(type(one) is dict for one in gc.get_referents(found))


NAMES = st.sampled_from(["a", "b", "c", "shared", "level"])
VALUES = st.one_of(st.integers(), st.none(), st.text(max_size=3), st.just(int))


@given(st.lists(st.dictionaries(NAMES, VALUES), max_size=8))
def test_attributes_are_those_of_the_dictionary_whatever_others_of_the_class_have(
    given_attributes: list[dict[str, Any]],
) -> None:
    kind = new_class()
    for attributes in given_attributes:
        made = made_of(kind, **attributes, itself=kind)
        assert attributes_of(made) == attributes | {"itself": kind}
        assert attributes_of(made) == vars(made)


def test_only_the_first_of_a_class_is_asked_for_its_dictionary() -> None:
    kind = new_class()
    first, second = made_of(kind, one=1, other=[2]), made_of(kind, one=3, other=[4])
    attributes_of(first)
    assert attributes_of(second) == {"one": 3, "other": [4]}
    assert not has_dictionary(second)


@pytest.mark.parametrize("kind", [Slotted, Saved, Listed, deque, random.Random, int])
def test_what_is_more_than_its_attributes_is_not_plain(kind: type) -> None:
    assert not is_plain(kind)


def test_setting_calls_no_setter_and_makes_no_dictionary() -> None:
    guarded, plain = Guarded(), made_of(new_class(), kept=1)
    set_attributes(guarded, {"level": 7})
    set_attributes(plain, {"a": 1, "b": 2})
    assert not has_dictionary(plain)
    assert vars(guarded) == {"level": 7}
    assert vars(plain) == {"kept": 1, "a": 1, "b": 2}


def test_a_learner_that_was_saved_or_loaded_keeps_no_dictionaries() -> None:
    def made() -> linear_model.LogisticRegression:
        return linear_model.LogisticRegression(optim.SGD(0.1), l2=0.1)

    save(made())  # a definition is tried out before its learner learns
    running = made()
    running.learn_one({"a": 1.0}, True)
    loaded = load(save(running))
    for one in (running, loaded):
        parts = (one, one.optimizer, one.optimizer.lr, one.intercept_lr, one.loss)
        assert not any(map(has_dictionary, parts))
