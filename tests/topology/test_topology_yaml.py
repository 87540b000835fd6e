"""The YAML text is untrusted: limits hold, typos are found, secrets stay secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gress_ml import ConfigError, Finding
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

HERE = Path(__file__).parent
VALID = (HERE / "valid.yaml").read_text()
Check = Callable[..., list[Finding]]
Load = Callable[..., Topology]

#: Every key of valid.yaml that is of our making: (start, end, line). Names that the file chooses
#: itself (inputs, fields of events, outputs, names in the JSON) are not.
CHOSEN = {"payments", "decisions", "large", "amount", "fee", "at", "card", "note", "id", "euros"}
KEYS = [
    (match.start(1), match.end(1), VALID.count("\n", 0, match.start(1)) + 1)
    for match in re.finditer(r"(?<![\w.])([a-z_]+):(?=\s)", VALID)
    if match[1] not in CHOSEN
]

same_project = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _typo(word: str, position: int, kind: str, letter: str) -> str:
    i = position % len(word)
    if kind == "drop" and len(word) > 1:
        return word[:i] + word[i + 1 :]
    if kind == "swap" and i + 1 < len(word):
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word[:i] + letter + word[i + (kind == "change") :]


@same_project
@given(
    key=st.sampled_from(KEYS),
    position=st.integers(0, 30),
    kind=st.sampled_from(["drop", "swap", "change", "insert"]),
    letter=st.sampled_from("abcxyz_"),
)
def test_any_typo_in_a_key_is_found_at_its_line(
    check: Check, key: tuple[int, int, int], position: int, kind: str, letter: str
) -> None:
    start, end, line = key
    word = _typo(VALID[start:end], position, kind, letter)
    if word == VALID[start:end]:
        return
    found = check(VALID[:start] + word + VALID[end:])
    assert (line, f"unknown key {word!r}") in [(f.line, f.message) for f in found]


def test_all_keys_are_tried() -> None:
    assert len(KEYS) > 35


def test_comments_anchors_and_merges_are_fine(load: Load) -> None:
    text = VALID.replace("timeout: 5ms}", "timeout: &t 5ms}  # short").replace("100ms", "*t", 1)
    assert load(text).settings.commit_interval_s == 0.005
    merged = VALID.replace("batch: {size: 256, timeout: 5ms}", "batch:\n  <<: {size: 7}")
    assert load(merged).settings.batch.size == 7


def test_a_variable_in_a_flow_mapping_needs_quotes_and_the_finding_says_so(check: Check) -> None:
    (found,) = check(VALID.replace("size: 256", "size: ${SIZE}"))
    assert (found.line, found.message[:14]) == (2, "not valid YAML")
    assert "put '${NAME}' in quotes" in found.message


def test_a_key_beside_a_merge_wins_over_it(load: Load) -> None:
    text = VALID.replace("{size: 256, timeout: 5ms}", "{size: 3, <<: {size: 7, timeout: 1s}}")
    batch = load(text).settings.batch
    assert (batch.size, batch.timeout_s) == (3, 1.0)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("x: " + "[" * 100_000, (1, 68), "nested deeper than 64 levels"),
        ("a:\n" + "".join(" " * i + "a:\n" for i in range(1, 90)), None, "nested deeper than 64"),
        (LAUGHS, None, "too large after its aliases are followed"),
        ("a: &a [*a]", (1, 8), "no anchor &a above, or it contains itself"),
        ("# " + "x" * 1_000_001, (1, 1), "the file is larger than"),
        ("a: !!python/object/apply:os.system [ls]", (1, 4), "tags are not supported"),
        ("a: !custom b", (1, 4), "tags are not supported"),
        ("a: [1, 2", None, "not valid YAML"),
        ("a: b\n\tc: d", (2, 1), "not valid YAML"),
        ("a: \x00", None, "not valid YAML"),
        ("a: !b!c d", None, "not valid YAML"),
        ('a: "\\U00110000"', (1, 1), "not valid YAML"),
        ("%YAML 1.9\n---\na: b", (1, 1), "not valid YAML"),
        ("a: b\n---\nc: d", (2, 1), "a second document"),
        ("", (1, 1), "the file is empty"),
        ("- a\n- b\n", (1, 1), "expected a mapping"),
        ("just text", (1, 1), "expected a mapping"),
        ("{[1, 2]: x}", (1, 2), "a key must be a plain text"),
        ("<<: 5\n", (1, 5), "a merge needs a mapping"),
    ],
)
def test_unreadable_text_is_refused(
    check: Check, text: str, place: tuple[int, int] | None, message: str
) -> None:
    found = {f.message: (f.line, f.column) for f in check(text)}
    places = [at for said, at in found.items() if message in said]
    assert places, found
    assert place in (None, *places)


def test_a_key_without_a_value_is_as_if_it_were_not_there(load: Load) -> None:
    assert load(VALID.replace("from: features.large", "from:")).outputs[1].source == "score"


def test_other_bytes_than_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_bytes(b"name: a\nb: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_topology(tmp_path / "t.yaml")
    assert [(f.line, f.message) for f in caught.value.findings] == [(2, "not valid UTF-8")]


@pytest.mark.parametrize(
    ("size", "fault"),
    [(250_000, "unknown operator"), (250_001, "the file is larger than 250,000 bytes")],
)
def test_a_file_beyond_the_limit_is_not_looked_into(tmp_path: Path, size: int, fault: str) -> None:
    """Twice as many bytes of short keys took ten seconds to refuse."""
    (tmp_path / "t.yaml").write_text(VALID.ljust(size, "\n"))
    with pytest.raises(ConfigError, match=fault):
        load_topology(tmp_path / "t.yaml")


@same_project
@given(text=st.text(max_size=200))
def test_any_text_gives_findings_and_never_another_error(check: Check, text: str) -> None:
    assert check(text)


@same_project
@given(
    cut=st.integers(0, len(VALID) - 1), put=st.sampled_from(["", ":", "[", "- ", "*x", "&", "{"])
)
def test_a_damaged_file_gives_findings_and_never_another_error(
    check: Check, cut: int, put: str
) -> None:
    check(VALID[:cut] + put + VALID[cut + 1 :])


# --- environment ----------------------------------------------------------------------------------


def test_variables_fill_texts_and_keep_the_type(load: Load) -> None:
    text = VALID.replace("size: 256", "size: '${SIZE}'").replace(
        "topic: payments", "topic: ${P}-in"
    )
    topology = load(text, {"SIZE": "17", "P": "test"})
    assert topology.settings.batch.size == 17
    assert topology.inputs["payments"].topic == "test-in"


def test_a_default_counts_when_the_variable_is_not_set_or_empty(load: Load) -> None:
    text = VALID.replace("size: 256", "size: '${SIZE:-9}'")
    assert load(text).settings.batch.size == 9
    assert load(text, {"SIZE": ""}).settings.batch.size == 9
    assert load(text, {"SIZE": "8"}).settings.batch.size == 8


#: Where a secret is put: many places where it is wrong, each told differently.
SECRET_PLACES = [
    ("name: card-checks", "name: 'a b ${SECRET}'"),
    ("size: 256", "size: '${SECRET}'"),
    ("5ms", "'${SECRET}'"),
    ("amount: {type: float", "amount: {type: '${SECRET}'"),
    ("event_time: at", "event_time: ${SECRET}"),
    ("operator: sum", "operator: ${SECRET}"),
    ("operator: sum", "operator: sum\n    input: ${SECRET}"),
    ("model: fraud", "model: ${SECRET}"),
    ("batch_size: 32", "batch_size: ${SECRET}"),
    ("batch_size: 32", "version: x${SECRET}y"),
    ("[amount, fee]", "[amount, '${SECRET}']"),
    ("confidence > 0.6", "${SECRET} >"),
    ("label, confidence]", "label, '${SECRET}']"),
    ("key: card", "key: ${SECRET}"),
    ("ml:", "ml:\n  models: [{name: a, version: v1, type: onnx, path: '${SECRET}'}]"),
]


@pytest.mark.parametrize(
    "secret", ["hunter2-S3CRET", "pass word", 'it\'s \\ "x"', "00731", "-4711"]
)
@pytest.mark.parametrize("place", range(len(SECRET_PLACES)))
def test_the_value_of_a_variable_is_never_in_a_finding(
    check: Check, place: int, secret: str
) -> None:
    old, new = SECRET_PLACES[place]
    assert old in VALID
    found = check(VALID.replace(old, new, 1), {"SECRET": secret})
    shown = "\n".join(str(finding) for finding in found)
    assert secret not in shown
    assert secret.lstrip("0-") not in shown
