"""Attributes: those of an object, read and set without CPython making a dictionary of them.

CPython 3.11 keeps the attributes of an object as a row of values until somebody asks for its
``__dict__``. From then on each is looked up more slowly, for as long as the object lives: a
twelfth of what a logistic regression takes to tell and learn a row. A learner is saved every
thousand rows, so it is not asked.
"""

from __future__ import annotations

import functools
import gc
from collections import Counter
from collections.abc import Mapping
from typing import Any


class _Plain:
    """Nothing but attributes."""


_LAYOUT = ("__basicsize__", "__itemsize__", "__dictoffset__")
_SAVING = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")

#: Names that the last object of a class had whose dictionary was asked for.
_names: dict[type, tuple[str, ...]] = {}


@functools.cache
def is_plain(kind: type) -> bool:
    """Whether an object of this class is its attributes and no more: no slots, no items, no way of
    its own to be saved or made."""
    alike = all(getattr(kind, name, None) is getattr(_Plain, name, None) for name in _SAVING)
    return alike and all(getattr(kind, name) == getattr(_Plain, name) for name in _LAYOUT)


def attributes_of(found: object) -> dict[str, Any]:
    """The attributes of a plain object, by name.

    The garbage collector knows an object's values without their names. Those that the class's
    other objects have are tried; unless they name every value, the dictionary is asked for.
    """
    kind = type(found)
    named = {}
    for name in _names.get(kind, ()):
        try:
            named[name] = object.__getattribute__(found, name)
        except AttributeError:
            break
    held = Counter(map(id, gc.get_referents(found)))
    held[id(kind)] -= 1  # an object refers to its class as well
    if held == Counter(map(id, named.values())):
        return named
    named = dict(vars(found))
    _names[kind] = tuple(named)
    give_dictionary(found, named)
    return named


def set_attributes(made: object, attributes: Mapping[str, Any]) -> None:
    """Let an object have these attributes besides those it has. Calls no setter of its class."""
    if any(_is_set_by_class(type(made), name) for name in attributes):
        give_dictionary(made, {**vars(made), **attributes})
        return
    for name, value in attributes.items():
        object.__setattr__(made, name, value)


def _is_set_by_class(kind: type, name: str) -> bool:
    """Whether setting the attribute would call a descriptor, such as a property."""
    found = next((vars(one)[name] for one in kind.__mro__ if name in vars(one)), None)
    return hasattr(type(found), "__set__")


def give_dictionary(found: object, attributes: Mapping[str, Any]) -> None:
    """Let an object have these attributes in a plain dictionary of its own.

    Where there is to be one: that which CPython makes when asked is slower to look up in.
    """
    object.__setattr__(found, "__dict__", dict(attributes))
