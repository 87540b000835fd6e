"""Experiments of the ml block: honoured by the step that names them, told where they cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gress_ml import ConfigError, Finding
from gress_ml.registry import Registry
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology
from gress_ml_operators.ab_test import AbTestConfig

MODELS = Path(__file__).parent.parent / "data" / "models"

#: Line 26 begins the first variant.
TEXT = """\
name: split
inputs:
  orders:
    topic: orders
    fields:
      user_id: string
      amount: float
      orders: {type: int, required: true}
      country: string
steps:
  - name: ab
    operator: ab_test
    config:
      experiment: risk-test
      inputs: {amount: amount, count: orders, country: country}
      output: score
ml:
  ab_testing:
    enabled: true
    experiments:
      - name: risk-test
        strategy: hash
        split_key: user_id
        enable_shadow_mode: true
        variants:
          - name: control
            model_name: tiny-inputs
            model_version: v1.0
            weight: 70.0
            enabled: true
          - name: treatment
            model_name: tiny-inputs
            model_version: champion
            weight: 30.0
            enabled: true
outputs:
  decisions: {topic: decisions, fields: [decision_id, prediction, ab_variant, propensity]}
  shadow: {topic: shadow, from: ab.shadow, fields: [decision_id, prediction, shadow_prediction]}
"""

Load = Callable[[str], Topology]
Check = Callable[[str], list[Finding]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def run(text: str) -> Topology:
        file = tmp_path / "split.yaml"
        file.write_text(text)
        return load_topology(file, Registry(MODELS), {})

    return run


@pytest.fixture
def check(load: Load) -> Check:
    def run(text: str) -> list[Finding]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        return [*caught.value.findings]

    return run


def test_the_experiment_of_the_block_is_the_config_of_the_step_that_names_it(load: Load) -> None:
    config = load(TEXT).steps[0].config
    assert isinstance(config, AbTestConfig)
    assert (config.strategy, config.split_key, config.enable_shadow_mode) == (
        "hash",
        "user_id",
        True,
    )
    assert config.shares == {"control": 70.0, "treatment": 30.0}
    assert [v.model_version for v in config.variants] == ["v1.0", "champion"]


def test_what_the_step_says_itself_counts(load: Load) -> None:
    text = TEXT.replace("      output: score\n", "      output: score\n      strategy: random\n")
    config = load(text.replace("        split_key: user_id\n", "")).steps[0].config
    assert isinstance(config, AbTestConfig)
    assert config.strategy == "random"


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("tiny-inputs\n            model_version: v1.0", "nobody\n            model_version: v1.0",
         "27:25", "no model 'nobody'"),
        ("model_version: v1.0", "model_version: v9.0", "27:25", "'v9.0'"),
        ("weight: 70.0", "weight: -1", "29:21", "greater than or equal to 0"),
        ("strategy: hash", "strategy: hsh", "22:19", "'hash'"),
        ("split_key: user_id", "split_key: userid", "23:20", "missing column 'userid'"),
        ("    enabled: true\n    exp", "    enabled: false\n    exp", "19:14", "switched off"),
        ("    enabled: true\n    exp", "    exp", "18:3", "switched off"),
        ("experiment: risk-test", "experiment: risk", "21:15", "no step runs 'risk-test'"),
        ("experiment: risk-test", "experiment: risk", "13:5", "missing key 'variants'"),
        ("from: ab.shadow", "from: ab.shade", "38:33", "no side stream 'shade'"),
    ],
)  # fmt: skip
def test_a_fault_is_shown_where_it_stands(
    check: Check, old: str, new: str, place: str, message: str
) -> None:
    assert TEXT.count(old) == 1
    findings = check(TEXT.replace(old, new))
    assert any(f"{f.line}:{f.column}" == place and message in f.message for f in findings), findings


def test_an_experiment_is_run_by_one_step(check: Check) -> None:
    step = TEXT[TEXT.index("  - name: ab") : TEXT.index("ml:")]
    again = step.replace("name: ab", "name: other\n    input: orders")
    (finding,) = check(TEXT.replace("ml:", f"{again}ml:", 1))
    assert finding.message == "two steps run it: 'ab' and 'other'"
    assert finding.path == "ml.ab_testing.experiments[0].name"


def test_two_experiments_have_two_names(check: Check) -> None:
    block = TEXT[TEXT.index("      - name: risk-test") : TEXT.index("outputs:")]
    (finding,) = check(TEXT.replace(block, block + block))
    assert finding.message == "duplicate experiment 'risk-test'"


def test_no_step_reads_what_is_made_after_the_answer(check: Check) -> None:
    late = """\
  - name: late
    operator: feature_extraction
    input: ab.shadow
    config: {features: [{name: c, type: numerical, source: confidence}]}
ml:
"""
    text = TEXT.replace("ml:\n", late, 1).replace(
        "{topic: decisions,", "{topic: decisions, from: ab,"
    )
    (finding,) = check(text)
    assert "'ab.shadow' is made after the answer has left" in finding.message
    assert finding.path == "steps[1].input"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: treatment", "name: control", "distinct names"),
        ("name: treatment", "name: fallback", "none of them 'fallback'"),
        ("weight: 30.0\n            enabled: true", "weight: 30.0\n            enabled: false",
         "two enabled variants"),
        ("strategy: hash", "strategy: random", "looks at no id"),
        ("weight: 70.0", "weight: 1e9", "below 1/10000"),
        ("output: score", "output: score\n      missing_split_key: default_arm", "'default_arm'"),
        ("output: score", "output: score\n      default_arm: control", "'default_arm'"),
        ("strategy: hash\n        split_key: user_id", "strategy: percentage", None),
        ("70.0\n            enabled: true\n          - name: treatment",
         "70.0\n            enabled: true\n          - name: fallback", "'fallback'"),
    ],
)  # fmt: skip
def test_an_experiment_that_makes_no_sense_is_refused(
    load: Load, check: Check, old: str, new: str, message: str | None
) -> None:
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    if message is None:
        load(text)
    else:
        assert any(message in finding.message for finding in check(text)), check(text)


def test_percentages_add_up_to_a_hundred(check: Check) -> None:
    text = TEXT.replace("strategy: hash\n        split_key: user_id", "strategy: percentage")
    (finding, *_) = check(text.replace("weight: 70.0", "weight: 60.0"))
    assert "expected a sum of 100" in finding.message
