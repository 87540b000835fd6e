"""Structure: a river object as bytes, and back, by its structure alone. No pickle.

Saving walks the graph of objects and writes each as a flat node: its class by name, and the values
of its attributes. Loading makes empty objects of the allowed classes (``allowed``), and fills them;
it calls no function that the bytes name. So bytes from anywhere can do no more than be refused.

The bytes are a function of the values and of who shares what with whom: the same learner gives the
same bytes in every process. Sets are written in the order of their bytes.
"""

from __future__ import annotations

import copyreg
import functools
import random
import re
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType
from typing import Any, Literal

import msgspec
import numpy as np
from river.utils import VectorDict

from gress_ml.errors import SnapshotError
from gress_ml.learning.allowed import class_name, class_of, function_name, function_of
from gress_ml.learning.attributes import attributes_of, give_dictionary, is_plain, set_attributes

FORMAT = 1

_SCALARS = frozenset({type(None), bool, float, str, bytes})
_MAPPINGS: Mapping[type, str] = {dict: "dict", OrderedDict: "ordered", Counter: "counter"}
_MAPPING_OF = {name: kind for kind, name in _MAPPINGS.items()}
_INT64 = range(-(2**63), 2**63)
_DTYPE = re.compile(r"[<>|=]?[biufcSU]\d+")
_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")

Value = Any  # a scalar as it is, or [number of a node]
Node = list[Any]


class _File(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    format: int
    root: Value
    nodes: list[Node]


_decoder = msgspec.msgpack.Decoder(_File)


def save(root: object) -> bytes:
    """The object as bytes. Raises SnapshotError when a part of it cannot be saved, saying which."""
    return _Writer().write(root)


def load(data: bytes) -> Any:
    """The object that was saved. Raises SnapshotError."""
    try:
        file = _decoder.decode(data)
        if file.format != FORMAT:
            raise SnapshotError(f"expected a learner of format {FORMAT}, found {file.format}")
        return _Reader(file.nodes).read(file.root)
    except SnapshotError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # whatever hostile bytes make of a constructor
        raise SnapshotError(f"not a saved learner: {type(error).__name__}: {error}") from error
    except BaseException as error:  # a panic of river's compiled part is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise SnapshotError(f"not a saved learner: {error}") from None


# --- saving ---------------------------------------------------------------------------------------


class _Writer:
    """Numbers the nodes breadth first, so that no depth of the graph is too deep."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._waiting: deque[tuple[int, Any, str]] = deque()
        self._nodes: list[Node] = []
        self._held: list[Any] = []  # so that no identity is used twice
        self._path = ""

    def write(self, root: object) -> bytes:
        value = self._value(root, "")
        while self._waiting:
            number, found, self._path = self._waiting.popleft()
            try:
                self._nodes[number] = self._node(found)
            except SnapshotError as error:
                place = f"{type(root).__name__}{self._path}"
                raise SnapshotError(f"{place} cannot be saved: {error}") from None
        return msgspec.msgpack.encode(_File(FORMAT, value, self._nodes))

    def _value(self, found: Any, name: str) -> Value:
        kind = type(found)
        if kind in _SCALARS or (kind is int and found in _INT64):
            return found
        shared = kind not in _BY_VALUE
        number = self._numbers.get(id(found)) if shared else None
        if number is None:
            number = len(self._nodes)
            self._nodes.append([])
            self._held.append(found)
            self._waiting.append((number, found, self._path + name))
            if shared:
                self._numbers[id(found)] = number
        return [number]

    def _values(self, found: Iterable[Any]) -> list[Value]:
        return [self._value(one, f"[{i}]") for i, one in enumerate(found)]

    def _pairs(self, found: Iterable[tuple[Any, Any]]) -> list[list[Value]]:
        return [[self._value(key, ".key"), self._value(one, f"[{key!r}]")] for key, one in found]

    def _attributes(self, found: Iterable[tuple[str, Any]]) -> list[list[Value]]:
        return [[name, self._value(one, f".{name}")] for name, one in found]

    def _node(self, found: Any) -> Node:
        write = _WRITERS.get(type(found))
        if write is not None:
            return write(self, found)
        if isinstance(found, type):
            return ["class", class_name(found)]
        if isinstance(found, np.generic):
            return ["number", _dtype(found.dtype), found.tobytes()]
        return self._object(found)

    def _object(self, found: Any) -> Node:
        """Any other object of river: class, arguments of ``__new__``, state and items."""
        kind: type = type(found)
        name = class_name(kind)
        if is_plain(kind):
            return ["object", name, [], *self._state(attributes_of(found))]
        try:
            make, (owner, *arguments), *rest = found.__reduce_ex__(4)
        except Exception as error:  # a class that refuses to be saved
            raise SnapshotError(f"{kind.__name__}: {error}") from error
        state, items, pairs = (*rest, None, None, None)[:3]
        if make is not copyreg.__newobj__ or owner is not kind:  # type: ignore[attr-defined]
            raise SnapshotError(f"{kind.__name__} says how it is made in a way of its own")
        node = ["object", name, self._values(arguments), *self._state(state)]
        if items is not None or pairs is not None:
            node += [self._values(items or ()), self._pairs(pairs or ())]
        if isinstance(own := getattr(found, "__dict__", None), dict):
            give_dictionary(found, own)
        return node

    def _state(self, state: Any) -> list[Any]:
        """Attributes and slots, or one value for ``__setstate__``."""
        match state:
            case None | dict():
                attributes, slots = state or {}, {}
            case (None | dict(), dict()):
                attributes, slots = state[0] or {}, state[1]
            case _:
                return [self._value(state, ".state"), None]
        kept = _without_dice(dict(_own(attributes)))
        return [self._attributes(sorted(kept.items())), self._attributes(slots.items())]

    # one writer per plain type

    def _list(self, found: list[Any]) -> Node:
        return ["list", self._values(found)]

    def _tuple(self, found: tuple[Any, ...]) -> Node:
        return ["tuple", self._values(found)]

    def _set(self, found: set[Any] | frozenset[Any]) -> Node:
        kind = "set" if isinstance(found, set) else "frozenset"
        members = sorted(found, key=lambda one: (type(one).__name__, repr(one)))
        return [kind, self._values(members)]

    def _mapping(self, found: dict[Any, Any]) -> Node:
        return ["mapping", _MAPPINGS[type(found)], self._pairs(found.items())]

    def _defaultdict(self, found: defaultdict[Any, Any]) -> Node:
        factory = self._value(found.default_factory, ".default_factory")
        return ["defaultdict", factory, self._pairs(found.items())]

    def _vector(self, found: Any) -> Node:
        _, (data, factory, mask, _copy) = found.__reduce__()
        return [
            "vector",
            self._pairs(data.items()),
            self._value(factory, ".default_factory"),
            self._value(mask, ".mask"),
        ]

    def _deque(self, found: deque[Any]) -> Node:
        return ["deque", found.maxlen, self._values(found)]

    def _array(self, found: np.ndarray[Any, Any]) -> Node:
        order: Literal["F", "C"] = (
            "F" if found.flags.f_contiguous and not found.flags.c_contiguous else "C"
        )
        if found.dtype == object:
            return ["objects", [*found.shape], self._values(found.ravel().tolist())]
        return ["array", _dtype(found.dtype), [*found.shape], order, found.tobytes(order)]

    def _random(self, found: random.Random) -> Node:
        version, numbers, gauss = found.getstate()
        return ["random", version, np.array(numbers, "<u4").tobytes(), gauss]

    def _dice(self, _found: Any) -> Node:
        return ["dice"]

    def _random_state(self, found: np.random.RandomState) -> Node:
        state: Any = found.get_state(legacy=False)
        return ["random_state", self._value(_plain(state), ".state")]

    def _generator(self, found: np.random.Generator) -> Node:
        return ["generator", self._value(_plain(found.bit_generator.state), ".state")]

    def _function(self, found: Callable[..., Any]) -> Node:
        return ["function", function_name(found)]

    def _method(self, found: MethodType) -> Node:
        return ["method", self._value(found.__self__, ".self"), found.__name__]

    def _partial(self, found: functools.partial[Any]) -> Node:
        return [
            "partial",
            self._value(found.func, ".func"),
            self._values(found.args),
            self._attributes(found.keywords.items()),
        ]

    def _integer(self, found: int) -> Node:
        return ["integer", str(found)]

    def _pattern(self, found: re.Pattern[str]) -> Node:
        return ["pattern", found.pattern, found.flags]


class _Dice:
    """Stands for a generator without a seed: no two are the same, so what it holds is not kept."""


def _without_dice(attributes: dict[str, Any]) -> dict[str, Any]:
    """River gives distributions a generator to sample with, which learning never does."""
    if attributes.get("seed", 0) is not None:
        return attributes
    return {name: _DICE if type(one) is random.Random else one for name, one in attributes.items()}


_DICE = _Dice()


_WRITERS: Mapping[type, Callable[[_Writer, Any], Node]] = {
    list: _Writer._list,
    tuple: _Writer._tuple,
    set: _Writer._set,
    frozenset: _Writer._set,
    dict: _Writer._mapping,
    OrderedDict: _Writer._mapping,
    Counter: _Writer._mapping,
    defaultdict: _Writer._defaultdict,
    VectorDict: _Writer._vector,
    deque: _Writer._deque,
    np.ndarray: _Writer._array,
    random.Random: _Writer._random,
    _Dice: _Writer._dice,
    np.random.RandomState: _Writer._random_state,
    np.random.Generator: _Writer._generator,
    FunctionType: _Writer._function,
    BuiltinFunctionType: _Writer._function,
    MethodDescriptorType: _Writer._function,
    MethodType: _Writer._method,
    functools.partial: _Writer._partial,
    int: _Writer._integer,
    re.Pattern: _Writer._pattern,
}
#: Of these Python keeps one object for several equal values as it likes: identity says nothing.
_BY_VALUE = frozenset(
    {
        _Dice,
        tuple,
        frozenset,
        int,
        type,
        FunctionType,
        BuiltinFunctionType,
        MethodDescriptorType,
        MethodType,
    }
)


def _own(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Attributes without those that Python itself puts there, as ``__orig_class__``."""
    return ((name, one) for name, one in attributes.items() if not name.startswith("__"))


def _dtype(dtype: np.dtype[Any]) -> str:
    if not _DTYPE.fullmatch(dtype.str):
        raise SnapshotError(f"NumPy's type {dtype} is not a plain one")
    return dtype.str


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """A generator's state without NumPy's own mappings and numbers."""
    return {
        key: _plain(one)
        if isinstance(one, Mapping)
        else (one if isinstance(one, np.ndarray | str | float) else int(one))
        for key, one in state.items()
    }


# --- loading --------------------------------------------------------------------------------------

_UNMADE, _BEING_MADE = object(), object()


class _Reader:
    """Makes every object, children first, then fills those that are filled afterwards."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._made: list[Any] = [_UNMADE] * len(nodes)

    def read(self, root: Value) -> Any:
        last_first = range(len(self._nodes) - 1, -1, -1)  # children mostly stand behind
        for number in last_first:
            self._make(number)
        for number in last_first:
            self._fill(number)
        return self._value(root)

    def _value(self, value: Value) -> Any:
        if not isinstance(value, list):
            return value
        (number,) = value
        if not 0 <= number < len(self._nodes):
            raise SnapshotError(f"there is no node {number}")
        return self._make(number)

    def _values(self, values: Iterable[Value]) -> list[Any]:
        return [self._value(value) for value in values]

    def _pairs(self, pairs: Iterable[Iterable[Value]]) -> list[tuple[Any, Any]]:
        return [(self._key(key), self._value(value)) for key, value in pairs]

    def _key(self, value: Value) -> Any:
        """Texts as those of feature names and of code are, so that they are found by identity."""
        return sys.intern(value) if type(value) is str else self._value(value)

    def _make(self, number: int) -> Any:
        found = self._made[number]
        if found is _BEING_MADE:
            raise SnapshotError("a value is made of itself")
        if found is _UNMADE:
            self._made[number] = _BEING_MADE
            kind, *parts = self._nodes[number]
            found = self._made[number] = _makers(kind)(self, *parts)
        return found

    def _fill(self, number: int) -> None:
        kind, *parts = self._nodes[number]
        fill = _FILLERS.get(kind)
        if fill is not None:
            fill(self, self._made[number], *parts)

    # --- making -----------------------------------------------------------------------------------

    def _new_list(self, _values: list[Value]) -> list[Any]:
        return []

    def _new_tuple(self, values: list[Value]) -> tuple[Any, ...]:
        return tuple(self._values(values))

    def _new_set(self, _values: list[Value]) -> set[Any]:
        return set()

    def _new_frozenset(self, values: list[Value]) -> frozenset[Any]:
        return frozenset(self._values(values))

    def _new_mapping(self, kind: str, _pairs: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = _MAPPING_OF[kind]()
        return made

    def _new_defaultdict(self, factory: Value, _pairs: Any) -> defaultdict[Any, Any]:
        return defaultdict(self._value(factory))

    def _new_vector(self, pairs: Any, factory: Value, mask: Value) -> Any:
        return VectorDict(dict(self._pairs(pairs)), self._value(factory), self._value(mask), True)

    def _new_deque(self, maxlen: int | None, _values: Any) -> deque[Any]:
        return deque(maxlen=maxlen)

    def _new_array(self, dtype: str, shape: list[int], order: str, data: bytes) -> Any:
        flat = np.frombuffer(data, _checked_dtype(dtype))
        made = flat.reshape(shape, order="F" if order == "F" else "C")
        return made.copy(order="F" if order == "F" else "C")

    def _new_objects(self, shape: list[int], values: list[Value]) -> Any:
        made = np.empty(len(values), object)
        made[:] = self._values(values)
        return made.reshape(shape)

    def _new_number(self, dtype: str, data: bytes) -> Any:
        return np.frombuffer(data, _checked_dtype(dtype), 1)[0]

    def _new_random(self, version: int, numbers: bytes, gauss: float | None) -> random.Random:
        made = random.Random(0)  # noqa: S311 - a learner's dice, not a secret
        made.setstate((version, tuple(np.frombuffer(numbers, "<u4").tolist()), gauss))
        return made

    def _new_dice(self) -> random.Random:
        return random.Random(0)  # noqa: S311 - as above

    def _new_random_state(self, _state: Value) -> np.random.RandomState:
        return np.random.RandomState(0)

    def _new_generator(self, state: Value) -> np.random.Generator:
        name = dict(self._nodes[state[0]][2])["bit_generator"]
        if name not in _BIT_GENERATORS:
            raise SnapshotError(f"there is no generator {name!r}")
        return np.random.Generator(getattr(np.random, name)(0))

    def _new_class(self, name: str) -> type:
        return class_of(name)

    def _new_function(self, name: str) -> Callable[..., Any]:
        return function_of(name)

    def _new_method(self, owner: Value, name: str) -> Any:
        """A method that the owner's class defines; an attribute of another kind is refused."""
        found = self._value(owner)
        class_name(type(found))
        if not isinstance(getattr(type(found), name, None), FunctionType):
            raise SnapshotError(f"{type(found).__name__} has no method {name!r}")
        return MethodType(getattr(type(found), name), found)

    def _new_partial(self, function: Value, arguments: list[Value], keywords: Any) -> Any:
        named = {name: self._value(value) for name, value in keywords}
        return functools.partial(self._value(function), *self._values(arguments), **named)

    def _new_integer(self, text: str) -> int:
        return int(text)

    def _new_pattern(self, pattern: str, flags: int) -> re.Pattern[str]:
        return re.compile(pattern, flags)

    def _new_object(self, name: str, arguments: list[Value], *_state: Any) -> Any:
        kind = class_of(name)
        return kind.__new__(kind, *self._values(arguments))

    # --- filling ----------------------------------------------------------------------------------

    def _fill_list(self, made: list[Any], values: list[Value]) -> None:
        made += self._values(values)

    def _fill_set(self, made: set[Any], values: list[Value]) -> None:
        made.update(self._values(values))

    def _fill_mapping(self, made: dict[Any, Any], _kind: str, pairs: Any) -> None:
        for key, value in self._pairs(pairs):  # a Counter's own update counts instead
            made[key] = value  # noqa: PERF403

    def _fill_defaultdict(self, made: dict[Any, Any], _factory: Value, pairs: Any) -> None:
        made.update(self._pairs(pairs))

    def _fill_deque(self, made: deque[Any], _maxlen: int | None, values: list[Value]) -> None:
        made += self._values(values)

    def _fill_random_state(self, made: np.random.RandomState, state: Value) -> None:
        made.set_state(self._value(state))

    def _fill_generator(self, made: np.random.Generator, state: Value) -> None:
        made.bit_generator.state = self._value(state)

    def _fill_object(
        self,
        made: Any,
        _name: str,
        _arguments: Any,
        state: Any,
        slots: Any,
        items: list[Value] | None = None,
        pairs: Any = None,
    ) -> None:
        if slots is None:
            made.__setstate__(self._value(state))
        else:
            self._fill_attributes(made, state, slots)
        if items:
            made.extend(self._values(items))
        for key, value in self._pairs(pairs or ()):
            made[key] = value

    def _fill_attributes(self, made: Any, state: Any, slots: Any) -> None:
        known = {name for kind in type(made).__mro__ for name in _slots(kind)}
        for name, value in slots:
            if name not in known:
                raise SnapshotError(f"{type(made).__name__} has no slot {name!r}")
            object.__setattr__(made, name, self._value(value))
        # as names in code are, so that attributes are found by identity
        attributes = {sys.intern(name): self._value(value) for name, value in state}
        if any(name.startswith("__") for name in attributes):
            raise SnapshotError(f"an attribute of {type(made).__name__} that Python keeps")
        set_attributes(made, attributes)


def _makers(kind: str) -> Callable[..., Any]:
    make = _MAKERS.get(kind)
    if make is None:
        raise SnapshotError(f"there is no kind of node {kind!r}")
    return make


def _methods(prefix: str) -> dict[str, Callable[..., Any]]:
    found = vars(_Reader).items()
    return {name.removeprefix(prefix): one for name, one in found if name.startswith(prefix)}


_MAKERS = _methods("_new_")
_FILLERS = _methods("_fill_")


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _checked_dtype(dtype: str) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(dtype):
        raise SnapshotError(f"{dtype!r} is no type of a plain array")
    return np.dtype(dtype)
