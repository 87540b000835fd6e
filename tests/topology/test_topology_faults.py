"""Each fault of a file is found at its line and column, and hides no other."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gress_ml import ConfigError, Finding
from gress_ml.ports import ModelStore
from gress_ml.topology.load import load_topology

HERE = Path(__file__).parent
Check = Callable[..., list[Finding]]


def test_eight_faults_of_one_file_are_eight_findings(shelf: ModelStore) -> None:
    with pytest.raises(ConfigError) as caught:
        load_topology(HERE / "faulty.yaml", shelf, {})
    found = [(f.line, f.column, f.path, f.message.partition(":")[0]) for f in caught.value.findings]
    assert found == [
        (3, 20, "batch.timeuot", "unknown key 'timeuot'"),
        (4, 17, "checkpoint_dir", "environment variable GRESS_TEST_NOT_SET is not set"),
        (10, 35, "inputs.payments.fields.fee.minimum", "expected a valid number; found 'none'"),
        (17, 11, "steps[0].config.columns[0]", "missing column 'amuont'"),
        (24, 14, "steps[1].config.model", "no model 'fruad'"),
        (26, 15, "steps[2].operator", "unknown operator 'predcit'"),
        (30, 12, "steps[3].input", "cycle"),
        (37, 3, "outputs.decisions.topic", "missing key 'topic'"),
    ]
    hints = [f.hint for f in caught.value.findings]
    assert hints[0] == "did you mean 'timeout'?"
    assert hints[3] == "did you mean 'amount'?"
    assert hints[5] == "did you mean 'predict'?"
    assert "amount, card, fee" in caught.value.findings[3].message  # the columns that exist
    assert str(caught.value.findings[0]).startswith(f"{HERE / 'faulty.yaml'}:3:20: batch.timeuot: ")


#: What is replaced in valid.yaml, by what; where the one finding is; what it says; its hint.
FAULTS = {
    "unknown key": ("batch: {size", "batch: {sizes", (2, 9), "unknown key 'sizes'", "'size'"),
    "unknown top key": ("checkpoint_dir:", "checkpointdir:", (5, 1), "unknown key", "point_dir"),
    "unknown config key": (
        "batch_size: 32",
        "batch_sise: 32",
        (25, 7),
        "unknown key",
        "batch_size",
    ),
    "missing key": ("    topic: decisions\n", "", (27, 3), "missing key 'topic'", ""),
    "missing config key": ("      model: fraud\n", "", (23, 5), "missing key 'model'", ""),
    "wrong type": ("size: 256", "size: many", (2, 15), "expected a valid integer; found", ""),
    "wrong config type": ("batch_size: 32", "batch_size: 0", (25, 19), "expected", ""),
    "not a mapping": ("{size: 256, timeout: 5ms}", "512", (2, 8), "mapping", ""),
    "bad duration": ("commit_interval: 100ms", "commit_interval: 100", None, "", ""),
    "duration without unit": ("timeout: 5ms", "timeout: '5'", (2, 29), "duration", ""),
    "unknown operator": (
        "operator: sum",
        "operator: sun",
        (18, 15),
        "unknown operator 'sun'",
        "'sum'",
    ),
    "unknown model": ("model: fraud", "model: fruad", (24, 14), "no model 'fruad'", ""),
    "unknown version": ("batch_size: 32", "version: 9.9.9", (24, 14), "no version or alias", ""),
    "missing variable": (
        "name: card-checks",
        "name: ${NO}",
        (1, 7),
        "variable NO is not set",
        "${NO:-",
    ),
    "cycle": ("operator: sum", "operator: sum\n    input: score", (19, 12), "cycle: ", ""),
    "self cycle": ("operator: sum", "operator: sum\n    input: features", (19, 12), "cycle: ", ""),
    "duplicate step": ("name: score", "name: features", (21, 11), "duplicate step name", ""),
    "step named as an input": ("name: score", "name: payments", (21, 11), "duplicate name", ""),
    "duplicate key": (
        "name: card-checks",
        "name: card-checks\nname: b",
        (2, 1),
        "first on line 1",
        "",
    ),
    "unknown input": (
        "operator: sum",
        "operator: sum\n    input: paymets",
        (19, 12),
        "unknown input or step",
        "'payments'",
    ),
    "unknown source": (
        "topic: decisions",
        "topic: decisions\n    from: skore",
        (29, 11),
        "unknown input or step",
        "'score'",
    ),
    "unknown side": (
        "from: features.large",
        "from: features.lagre",
        (34, 11),
        "no side stream",
        "'large'",
    ),
    "side of an input": (
        "from: features.large",
        "from: payments.large",
        (34, 11),
        "has no side streams",
        "",
    ),
    "missing step column": (
        "[amount, fee]",
        "[amount, fea]",
        (20, 25),
        "missing column 'fea'",
        "'fee'",
    ),
    "missing output column": (
        "label, confidence]",
        "lable, confidence]",
        (30, 27),
        "missing column 'lable'",
        "'label'",
    ),
    "missing mapped column": (
        "euros: amount",
        "euros: amounts",
        (35, 38),
        "missing column 'amounts'",
        "'amount'",
    ),
    "missing when column": (
        "confidence >",
        "confidense >",
        (29, 11),
        "missing column 'confidense'",
        "'confidence'",
    ),
    "special column in when": ("confidence >", "offset >", (29, 11), "missing column 'offset'", ""),
    "missing key column": ("key: card", "key: cart", (31, 10), "missing column 'cart'", "'card'"),
    "unfit key column": ("key: card", "key: features", (31, 10), "type mismatch", ""),
    "bad expression": ("confidence > 0.6", "confidence >", (29, 11), "bad expression", ""),
    "text as condition": (
        "confidence > 0.6 and card != 'test'",
        "\"'yes'\"",
        (29, 11),
        "this is text",
        "",
    ),
    "unfit when column": (
        "confidence > 0.6",
        "label > 0.6",
        (29, 11),
        "type mismatch: 'label'",
        "",
    ),
    "unfit step column": ("[amount, fee]", "[amount, card]", (20, 25), "'card' is no number", ""),
    "feature mismatch": ("[amount, fee]", "[fee, amount]", (24, 14), "feature schema mismatch", ""),
    "unknown field type": ("card: string", "card: text", (14, 13), "expected 'float'", ""),
    "int without default": (
        "note: string",
        "note: int",
        (15, 13),
        "cannot be missing",
        "required: true",
    ),
    "limit on text": (
        "card: string",
        "card: {type: string, minimum: 1}",
        (14, 28),
        "does not fit",
        "",
    ),
    "default of other type": ("default: 0", "default: none", (12, 35), "not of type float", ""),
    "maximum below minimum": ("minimum: 0}", "minimum: 0, maximum: -1}", (11, 66), "below", ""),
    "unknown event time": ("event_time: at", "event_time: ad", (9, 17), "is not there", ""),
    "unfit event time": ("event_time: at", "event_time: card", (9, 17), "is not a timestamp", ""),
    "loop": ("topic: decisions", "topic: payments", (28, 12), "endless loop", ""),
    "dead letters read": ("event_time: at", "dead_letters: payments", (9, 19), "read again", ""),
    "bad topic": ("topic: decisions", "topic: a/b", (28, 12), "pattern", ""),
    "guarantee": (
        "name: card-checks",
        "name: a\nguarantee: exactly_twice",
        (2, 12),
        "'exactly_once'",
        "",
    ),
    "ml off": ("ml:", "ml:\n  enabled: false", (37, 12), "switched off", ""),
    "registry without a bucket": (
        "ml:",
        "ml:\n  model_registry: {type: s3}",
        (37, 26),
        "a model registry of type 's3' needs s3_bucket",
        "set s3_bucket",
    ),
    "registry with a bad bucket": (
        "ml:",
        "ml:\n  model_registry: {type: gcs, gcs_bucket: a/b}",
        (37, 43),
        "'a/b' is not the name of a bucket",
        "",
    ),
    "registry out of its bucket": (
        "ml:",
        "ml:\n  model_registry: {type: s3, s3_bucket: models, base_path: ../x}",
        (37, 60),
        "leads out of the bucket",
        "",
    ),
    "a/b testing of nothing": ("ml:", "ml:\n  ab_testing: {enabled: true}", None, "", ""),
    "model without file": (
        "ml:",
        "ml:\n  models: [{name: a, version: v1, type: onnx, path: a.onnx}]",
        (37, 53),
        "no file 'a.onnx'",
        "",
    ),
    "ml default out of range": ("      batch_size: 32\n", "", None, "", ""),
    "wrong ml value": (
        "default_batch_size: 100",
        "default_batch_size: 0",
        (38, 25),
        "expected",
        "",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_is_one_finding_at_its_place(name: str, valid: str, check: Check) -> None:
    old, new, place, message, hint = FAULTS[name]
    assert old in valid
    found = check(valid.replace(old, new, 1))
    if place is None:  # valid all the same
        assert found == []
        return
    assert [(f.line, f.column) for f in found] == [place], [str(f) for f in found]
    assert message in found[0].message
    assert hint in found[0].hint


def test_unknown_schema_names_the_nearest(check: Check) -> None:
    inputs = "inputs: {i: {topic: i, schema: dwcp.transfers}}"
    found = check(f"name: a\n{inputs}\noutputs: {{o: {{topic: o, fields: [vm_id]}}}}\n")
    assert [(f.line, f.message, f.hint) for f in found] == [
        (2, "unknown schema 'dwcp.transfers'", "did you mean 'dwcp.transfer'?")
    ]


def test_a_schema_and_fields_together_are_refused(valid: str, check: Check) -> None:
    found = check(valid.replace("event_time: at", "schema: dwcp.transfer"))
    assert found[0].message == "there is a schema already: use 'schema' or 'fields'"
    assert found[0].line == 10


def test_neither_schema_nor_fields_is_a_finding(check: Check) -> None:
    found = check("name: a\ninputs: {i: {topic: i}}\n")
    assert [(f.line, f.message) for f in found] == [(2, "missing key 'schema' or 'fields'")]


def test_a_wrong_number_in_a_config_does_not_hide_a_missing_column_behind_it(
    valid: str, check: Check
) -> None:
    found = check(valid.replace("batch_size: 32", "batch_size: 0").replace("label,", "lable,"))
    assert [(f.line, f.path) for f in found] == [
        (25, "steps[1].config.batch_size"),
        (30, "outputs.decisions.fields[1]"),
    ]


OPERATOR = """
from gress_ml import Operator, OperatorConfig, Output
class Config(OperatorConfig):
    pass
class Reader(Operator[Config]):
    name = "reader"
    Config = Config
    def reads(self): return frozenset({"b", "c", "a"})
    def signature(self, columns): return columns
    def process(self, batch): return Output(batch)
"""


def test_columns_that_no_key_names_are_one_finding_at_the_operator(tmp_path: Path) -> None:
    (tmp_path / "operators").mkdir()
    (tmp_path / "operators" / "reader.py").write_text(OPERATOR)
    inputs = "inputs: {i: {topic: i, fields: {a: float}}}"
    (tmp_path / "t.yaml").write_text(
        f"name: t\n{inputs}\nsteps:\n- {{name: s, operator: reader}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_topology(tmp_path / "t.yaml")
    assert [(f.line, f.column, f.message) for f in caught.value.findings] == [
        (4, 23, "missing columns 'b', 'c': step 's' reads them, 'i' has only: a")
    ]


def test_several_inputs_need_a_choice(valid: str, check: Check) -> None:
    found = check(valid.replace("inputs:\n", "inputs:\n  other: {topic: o, fields: {a: float}}\n"))
    assert [(f.line, f.path) for f in found] == [(18, "steps[0]")]
    assert found[0].hint == "one of: other, payments"


def test_an_installed_schema_that_fails_to_import_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, valid: str, check: Check
) -> None:
    broken = EntryPoint("broken", "no_such_module_of_schemas", "gress_ml.schemas")
    monkeypatch.setattr("gress_ml.topology.schemas.entry_points", lambda group: [broken])
    found = check(valid)
    assert len(found) == 1
    assert "no_such_module_of_schemas" in found[0].message


def test_a_broken_file_in_operators_is_a_finding_at_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "operators"
    folder.mkdir()
    (folder / "broken.py").write_text("x = 1\ny = z\n")
    (tmp_path / "t.yaml").write_text("name: a\ninputs: {i: {topic: i, fields: {a: float}}}\n")
    with pytest.raises(ConfigError) as caught:
        load_topology(tmp_path / "t.yaml")
    (found,) = caught.value.findings
    assert (found.file, found.line) == (str(folder / "broken.py"), 2)
    assert "name 'z' is not defined" in found.message


def test_no_file_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_topology(tmp_path / "none.yaml")
