"""A checked topology: plain values, pruned inputs, operators that open."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from gress_ml import Finding, ModelNotFound
from gress_ml.bundle import Bundle
from gress_ml.ports import ModelStore
from gress_ml.topology.catalogue import Catalogue, installed_operators, project_operators
from gress_ml.topology.json_schema import topology_schema
from gress_ml.topology.load import project_of
from gress_ml.topology.mermaid import mermaid
from gress_ml.topology.svg import svg
from gress_ml.topology.topology import Topology

HERE = Path(__file__).parent
Check = Callable[..., list[Finding]]
Load = Callable[..., Topology]


def test_defaults_are_the_documented_ones(load: Load) -> None:
    inputs = "inputs: {i: {topic: t, fields: {x: float}}}"
    topology = load(f"name: a\n{inputs}\noutputs: {{o: {{topic: p, fields: [x]}}}}")
    assert topology.inputs["i"].dead_letters == "t.dlq"
    assert topology.outputs[0].source == "i"
    settings = topology.settings
    assert (settings.batch.size, settings.batch.timeout_s) == (2048, 0.0)
    assert (settings.commit_interval_s, settings.checkpoint_interval_s) == (0.1, 30.0)
    assert topology.inputs["i"].max_bytes == 1_048_576


def test_only_columns_that_are_read_and_required_ones_are_decoded(valid: str, load: Load) -> None:
    topology = load(
        valid.replace("note: string", "note: string\n      id: {type: string, required: true}")
    )
    assert topology.columns_read("payments") == {"amount", "fee", "card"}
    fields = [field.name for field in topology.inputs["payments"].schema.fields]
    assert fields == ["amount", "fee", "at", "card", "id"]  # at is the event time


def test_steps_stand_after_their_source_whatever_the_order_in_the_file(
    valid: str, load: Load
) -> None:
    first, second = valid.index("  - name: features"), valid.index("  - name: score")
    end = valid.index("outputs:")
    score = valid[second:end].replace("operator: predict", "operator: predict\n    input: features")
    sums = valid[first:second].replace("operator: sum", "operator: sum\n    input: payments")
    decisions = valid[end:].replace("topic: decisions", "topic: decisions\n    from: score")
    topology = load(valid[:first] + score + sums + decisions)
    assert [step.name for step in topology.steps] == ["features", "score"]


def test_build_opens_new_operators_for_one_input(valid: str, load: Load, shelf: ModelStore) -> None:
    topology = load(valid)
    built, again = topology.build(shelf, "payments"), topology.build(shelf, "payments")
    assert [step.name for step, _ in built] == ["features", "score"]
    assert built[0][1] is not again[0][1]
    assert vars(built[1][1])["_step"] == "score"


def test_a_build_that_fails_closes_what_was_opened(
    valid: str, load: Load, shelf: ModelStore
) -> None:
    class Once:
        asked = 0

        def find(self, name: str, reference: str = "champion") -> Bundle:
            self.asked += 1
            if self.asked > 1:
                raise ModelNotFound("gone")
            return shelf.find(name, reference)

        def open_folder(self, folder: Path) -> Bundle:
            raise ModelNotFound("gone")

    second = "  - name: again\n    operator: predict\n    config: {model: fraud}\noutputs:"
    topology = load(valid.replace("outputs:", second))
    closed: list[str] = vars(topology.steps[1].operator_class)["closed"]
    closed.clear()
    with pytest.raises(ModelNotFound):
        topology.build(Once(), "payments")
    assert closed == ["fraud"]


def test_operators_that_the_check_opened_are_closed(valid: str, load: Load) -> None:
    closed: list[str] = vars(load(valid).steps[1].operator_class)["closed"]
    closed.clear()
    load(valid)
    assert closed == ["fraud"]


def test_steps_and_outputs_belong_to_the_input_that_they_come_from(valid: str, load: Load) -> None:
    text = valid.replace("inputs:\n", "inputs:\n  other: {topic: o, fields: {a: float}}\n").replace(
        "operator: sum", "operator: sum\n    input: payments"
    )
    more = "  rest: {topic: rest, from: other, fields: [a]}\nml:"
    topology = load(text.replace("ml:", more))
    assert [step.name for step in topology.steps_of("payments")] == ["features", "score"]
    assert [output.name for output in topology.outputs_of("other")] == ["rest"]
    assert [output.name for output in topology.outputs_of("payments")] == ["decisions", "large"]
    assert topology.steps_of("other") == ()


def test_the_project_is_the_folder_above_topologies(tmp_path: Path) -> None:
    assert project_of(tmp_path / "topologies" / "a.yaml") == tmp_path.resolve()
    assert project_of(tmp_path / "a.yaml") == tmp_path.resolve()


# --- catalogue ------------------------------------------------------------------------------------


def test_files_in_operators_need_no_registration(tmp_path: Path) -> None:
    (tmp_path / "operators").symlink_to(HERE / "operators")
    assert {"sum", "predict"} <= set(project_operators(tmp_path).operators)
    assert not {"sum", "predict"} & set(installed_operators().operators)


OPERATOR = """
from gress_ml import Operator, OperatorConfig, Output
class Config(OperatorConfig):
    pass
class Same(Operator[Config]):
    name = {name!r}
    Config = {config}
    def reads(self): return frozenset()
    def signature(self, columns): return columns
    def process(self, batch): return Output(batch)
"""


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("sum", "Config", "operator 'sum' is there twice"),
        ("", "Config", "has no name"),
        ("x", "dict", "has no Config class"),
    ],
)
def test_an_unfit_operator_is_a_problem(
    tmp_path: Path, name: str, config: str, message: str
) -> None:
    (tmp_path / "operators").mkdir()
    (tmp_path / "operators" / "a.py").write_text((HERE / "operators" / "shape.py").read_text())
    (tmp_path / "operators" / "b.py").write_text(OPERATOR.format(name=name, config=config))
    problems = [problem for problem in project_operators(tmp_path).problems if problem.own]
    assert [message in problem.message for problem in problems] == [True]


def test_a_bug_in_an_operator_is_a_finding(valid: str, tmp_path: Path, check: Check) -> None:
    (tmp_path / "operators").unlink()
    (tmp_path / "operators").mkdir()
    (tmp_path / "operators" / "a.py").write_text(
        OPERATOR.format(name="sum", config="Config").replace("frozenset()", "1 / 0")
    )
    found = check(valid.replace("config:\n      columns: [amount, fee]", "config: {}"))
    assert (18, "operator 'sum' failed: ZeroDivisionError: division by zero") in [
        (f.line, f.message) for f in found
    ]


# --- JSON Schema ----------------------------------------------------------------------------------


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "operators").symlink_to(HERE / "operators")
    return project_operators(tmp_path / "own")


def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_json_schema_takes_what_check_takes(valid: str, catalogue: Catalogue) -> None:
    schema = topology_schema(catalogue, ("dwcp.transfer",))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(_parsed(valid), schema)
    jsonschema.validate(_parsed(valid.replace("size: 256", "size: '${N:-3}'")), schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("batch_size: 32", "batch_sise: 32"),
        ("batch_size: 32", "batch_size: 0"),
        ("      model: fraud\n", ""),
        ("operator: sum", "operator: sun"),
        ("card: string", "card: text"),
        ("size: 256", "size: many"),
        ("commit_interval: 100ms", "commit_interval: soon"),
        ("max_latency", "max_latensy"),
    ],
)
def test_the_json_schema_refuses_what_check_refuses(
    old: str, new: str, valid: str, catalogue: Catalogue, check: Check
) -> None:
    assert old in valid
    text = valid.replace(old, new)
    assert check(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(_parsed(text), topology_schema(catalogue))


def test_every_key_of_the_json_schema_is_described(catalogue: Catalogue) -> None:
    def undescribed(schema: Any, name: str) -> list[str]:
        if isinstance(schema, list):
            return [found for item in schema for found in undescribed(item, name)]
        if not isinstance(schema, Mapping):
            return []
        bare = [
            f"{name}.{key}"
            for key, value in schema.get("properties", {}).items()
            if "description" not in value and "const" not in value and "$ref" not in value
        ]
        inner = (undescribed(value, f"{name}.{key}") for key, value in schema.items())
        return bare + [found for part in inner for found in part]

    schema = topology_schema(catalogue)
    own = {name: value for name, value in schema["$defs"].items() if name.endswith("Spec")}
    assert undescribed(own, "$defs") == []


# --- pictures -------------------------------------------------------------------------------------


def test_the_mermaid_text_names_topics_steps_and_conditions(valid: str, load: Load) -> None:
    text = mermaid(load(valid))
    assert text.startswith("flowchart LR\n")
    assert 'n1["features<br/>sum"]' in text
    assert 'n1 -- "large" --> o1' in text
    assert "confidence &gt; 0.6" in text


def test_the_svg_is_xml_and_shows_every_box_once(valid: str, load: Load) -> None:
    tree = ET.fromstring(svg(load(valid.replace("topic: payments", "topic: pay.ments_x"))))
    texts = ["".join(t.itertext()) for t in tree.iter("{http://www.w3.org/2000/svg}text")]
    for name in ("features", "score", "decisions", "large", "pay.ments_x", "large-payments"):
        assert any(name in text for text in texts), name
    rects = [r.get("x") for r in tree.iter("{http://www.w3.org/2000/svg}rect") if r.get("x")]
    assert len(rects) == 5


def test_boxes_of_the_svg_do_not_overlap(valid: str, load: Load) -> None:
    tree = ET.fromstring(svg(load(valid)))
    places = [
        (r.get("x"), r.get("y"))
        for r in tree.iter("{http://www.w3.org/2000/svg}rect")
        if r.get("x")
    ]
    assert len(places) == len(set(places))
