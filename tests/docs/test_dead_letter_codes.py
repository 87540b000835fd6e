"""docs/errors.md has every code of a dead letter, and no other; and every error of the library."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import DOCS, ROOT, table_cells

from gress_ml import errors
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder
from gress_ml.schema import ColumnType, EventSchema, Field
from gress_ml.topology.catalogue import installed_operators

PAGE = (DOCS / "errors.md").read_text(encoding="utf-8")
_ROOMS = ("runtime", "engine", "features", "inference", "learning")
_SOURCES = (*(f"gress_ml/{room}" for room in _ROOMS), "operators")
#: Calls that take a code, and at which place.
_CALLS = {
    "Rejected": 1,
    "DeadLetter": 2,
    "_BadEventError": 0,
    "reject": 1,
    "rejected": 2,
    "_reject": 2,
}
_CODE = re.compile(r"[a-z][a-z0-9_]*")

SCHEMA = EventSchema(
    "event",
    (
        Field("id", ColumnType.STRING, required=True),
        Field("amount", ColumnType.FLOAT, minimum=0.0),
        Field("kind", ColumnType.STRING, choices=("a", "b")),
        Field("rest", ColumnType.JSON),
    ),
)
BAD_EVENTS = {
    "empty": None,
    "too_large": b'{"id": "' + b"x" * 5000 + b'"}',
    "invalid_utf8": b'{"id": "\xff"}',
    "invalid_json": b'{"id": "x", "amount": NaN}',
    "too_deep": b'{"id": "x", "rest": ' + b"[" * 1500 + b"]" * 1500 + b"}",
    "not_an_object": b"[1, 2]",
    "missing_field": b"{}",
    "wrong_type": b'{"id": 7}',
    "unknown_value": b'{"id": "x", "kind": "c"}',
    "out_of_range": b'{"id": "x", "amount": -1}',
}


def section(title: str) -> set[str]:
    """The codes in the first column of a section's table."""
    text = PAGE.partition(f"### {title}\n")[2].partition("\n#")[0]
    cells = [row[0].strip("`") for row in table_cells(text)]
    return {cell for cell in cells if cell != "code" and _CODE.fullmatch(cell)}


DECODING = section("From decoding")
DOCUMENTED = DECODING | section("From steps") | section("On the way out")


def trees() -> Iterator[ast.AST]:
    for folder in _SOURCES:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield ast.parse(file.read_text(encoding="utf-8"))


def literals() -> set[str]:
    """All texts in the sources."""
    return {
        node.value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def given_codes() -> set[str]:
    """Codes that are written into a call that takes one."""
    found = set()
    for tree in trees():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            place = _CALLS.get(name, len(call.args))
            code = call.args[place] if place < len(call.args) else None
            if isinstance(code, ast.Constant) and _CODE.fullmatch(str(code.value)):
                found.add(str(code.value))
    return found


def test_codes_of_decoding_are_those_of_the_page() -> None:
    # what the transport could not read is no event: tests/adapters/kafka/test_unreadable.py
    assert {*BAD_EVENTS, "unreadable"} == DECODING


@pytest.mark.parametrize("code", BAD_EVENTS)
def test_a_bad_event_gets_its_code(code: str) -> None:
    decoder = Decoder(SCHEMA, max_bytes=4000)
    _, rejected = decoder.decode("t", 0, [FileRecord(7, BAD_EVENTS[code])])
    assert [(row.offset, row.code) for row in rejected] == [(7, code)]


def test_every_code_in_the_code_is_on_the_page() -> None:
    given = given_codes()
    assert {"operator_failed", "output_failed", "output_too_large", "missing_feature"} <= given
    assert given - DOCUMENTED == set()


def test_every_code_of_an_example_is_on_the_page() -> None:
    operators = installed_operators().operators.values()
    codes = {code for o in operators for e in o.examples for code in e.rejected.values()}
    assert codes - DOCUMENTED == set()


def test_every_code_on_the_page_is_in_the_code() -> None:
    assert DOCUMENTED - literals() == set()


def test_every_error_of_the_library_is_on_the_page() -> None:
    names = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.GressError)
    }
    assert {name for name in names if f"`{name}`" not in PAGE} == set()


def test_sources_are_where_the_test_looks() -> None:
    assert [folder for folder in _SOURCES if not Path(ROOT / folder).is_dir()] == []
