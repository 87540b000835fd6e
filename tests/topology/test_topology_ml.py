"""The ml block: every key of it is typed, and honoured or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gress_ml import Finding
from gress_ml.engine.planning import build_plan, task_settings
from gress_ml.registry import Registry
from gress_ml.topology.catalogue import installed_operators
from gress_ml.topology.ml import MlSpec
from gress_ml.topology.topology import Topology

Check = Callable[..., list[Finding]]
Load = Callable[..., Topology]

#: The full configuration example of the integration guide, as it stands there.
FULL_EXAMPLE = """\
ml:
  enabled: true

  model_registry:
    type: local  # local, s3, gcs
    base_path: ./models

    # S3 configuration
    s3_bucket: my-models-bucket
    s3_region: us-east-1

  models:
    - name: fraud-detector
      version: v2.0
      type: onnx
      path: ./models/fraud-v2.onnx
      enabled: true
      warmup_on_load: true
      tags:
        environment: production
        task: classification

    - name: recommender
      version: v1.5
      type: tensorflow
      path: ./models/recommender-v1.5.tflite
      enabled: true

  feature_store:
    enabled: true
    backend: redis
    ttl: 5m
    redis_addr: localhost:6379

  inference:
    default_batch_size: 100
    default_batch_timeout: 50ms
    max_concurrency: 10
    max_latency: 100ms
    enable_gpu: false

  online_learning:
    enabled: true
    default_update_batch_size: 32
    default_update_interval: 5s
    default_checkpoint_interval: 5m
    checkpoint_dir: ./ml-checkpoints
    default_learning_rate: 0.001
    enable_validation: true
    validation_split: 0.2

  ab_testing:
    enabled: true
    experiments:
      - name: fraud-model-test
        strategy: hash
        split_key: user_id
        enable_shadow_mode: true
        variants:
          - name: control
            model_name: fraud-detector
            model_version: v1.0
            weight: 70.0
            enabled: true
          - name: treatment
            model_name: fraud-detector
            model_version: v2.0
            weight: 30.0
            enabled: true
"""


@pytest.fixture
def text(valid: str, tmp_path: Path) -> str:
    """The valid topology with the full example as its ml block, and the models that it names."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "fraud-v2.onnx").touch()
    (tmp_path / "models" / "recommender-v1.5.tflite").touch()
    return valid[: valid.index("ml:")] + FULL_EXAMPLE


def test_the_full_example_is_read_and_what_does_not_fit_the_rest_of_the_file_is_said(
    text: str, check: Check
) -> None:
    assert [(f.path, f.message) for f in check(text)] == [
        (
            "ml.online_learning.checkpoint_dir",
            "two folders for checkpoints: checkpoint_dir is 'state'",
        ),
        ("ml.ab_testing.experiments[0].name", "no step runs 'fraud-model-test'"),
    ]


def test_the_full_example_loads_with_that_switched_off(text: str, load: Load) -> None:
    off = text.replace("testing:\n    enabled: true", "testing:\n    enabled: false")
    ml = load(off.replace("checkpoint_dir: state\n", "")).settings.ml
    assert ml.feature_store.ttl == 300.0
    assert ml.feature_store.redis_addr == "localhost:6379"
    assert ml.models[0].tags == {"environment": "production", "task": "classification"}
    assert ml.inference.max_latency == 0.1
    assert ml.ab_testing.experiments[0].variants[1].weight == 30.0


def test_defaults_reach_the_steps_that_do_not_set_the_key(valid: str, load: Load) -> None:
    text = valid + "    gpu_device_ids: [0, 1]\n"
    config = load(text).steps[1].config
    assert config.model_dump()["batch_size"] == 32  # set by the step
    assert config.model_dump()["gpus"] == (0, 1)
    config = load(text.replace("      batch_size: 32\n", "")).steps[1].config
    assert config.model_dump()["batch_size"] == 100


def test_without_a_default_in_the_file_the_operator_decides(valid: str, load: Load) -> None:
    text = valid.replace("      batch_size: 32\n", "").replace(
        "default_batch_size", "max_concurrency"
    )
    assert load(text).steps[1].config.model_dump()["batch_size"] == 64


def test_every_default_that_an_operator_asks_for_is_a_key_of_the_block() -> None:
    for operator in installed_operators().operators.values():
        for field in operator.Config.model_fields.values():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and "ml_default" in extra:
                block, _, key = str(extra["ml_default"]).partition(".")
                assert key in type(getattr(MlSpec(), block)).model_fields, (operator.name, extra)


def test_the_address_of_redis_is_not_in_the_settings_text(valid: str, load: Load) -> None:
    text = valid + "  feature_store: {backend: redis, redis_addr: '${ADDR}'}\n"
    topology = load(text, {"ADDR": "redis://:hunter2@here:1"})
    assert "hunter2" not in repr(topology)


def test_a_registry_is_addressed_in_its_bucket() -> None:
    for keys, address in (
        ({"base_path": "./models"}, "./models"),
        ({"type": "s3", "s3_bucket": "bkt", "base_path": "./models"}, "s3://bkt/models"),
        ({"type": "s3", "s3_bucket": "bkt", "base_path": "/a//b/"}, "s3://bkt/a/b"),
        ({"type": "gcs", "gcs_bucket": "bkt", "base_path": "."}, "gs://bkt"),
        ({"type": "gcs", "gcs_bucket": "bkt"}, "gs://bkt/models"),
    ):
        assert MlSpec.model_validate({"model_registry": keys}).model_registry.address == address


LEARNING = """\
name: learning
inputs:
  events:
    topic: events
    fields: {a: float, b: float, label: json}
steps:
  - name: learn
    operator: online_learning
    config:
      model: late
      learner: [preprocessing.StandardScaler, linear_model.LogisticRegression]
      features: [a, b]
      classes: ["false", "true"]
outputs:
  told: {topic: told, fields: [decision_id, prediction, learning_use]}
ml:
  online_learning:
    enabled: true
    default_update_batch_size: 16
    default_update_interval: 7s
    default_checkpoint_interval: 5m
    checkpoint_dir: ./ml-checkpoints
    default_learning_rate: 0.002
    enable_validation: true
    validation_split: 0.3
"""


def test_each_key_of_online_learning_does_what_it_says(load: Load, tmp_path: Path) -> None:
    topology = load(LEARNING)
    config = topology.steps[0].config.model_dump()
    wanted = {
        "update_batch_size": 16,
        "update_interval": 7.0,
        "checkpoint_interval": 300.0,
        "learning_rate": 0.002,
        "enable_validation": True,
        "validation_split": 0.3,
    }
    assert {name: config[name] for name in wanted} == wanted
    assert topology.settings.checkpoint_dir == tmp_path / "ml-checkpoints"
    plan = build_plan(topology, topology.inputs["events"], Registry(tmp_path))
    assert task_settings(topology, plan).checkpoint_interval_s == 300.0
    plan.close()


def test_a_learner_without_an_optimizer_takes_no_default_learning_rate(load: Load) -> None:
    tree = "{tree.HoeffdingTreeClassifier: {grace_period: 50}}"
    text = LEARNING.replace("[preprocessing.StandardScaler, linear_model.LogisticRegression]", tree)
    assert load(text).steps[0].config.model_dump()["learning_rate"] is None


def test_a_step_that_learns_is_refused_where_learning_is_off(check: Check) -> None:
    (found,) = check(LEARNING.replace("enabled: true", "enabled: false"))
    assert found.path == "ml.online_learning.enabled"
    assert found.message == "online learning is switched off, so step 'learn' could not run"
    assert LEARNING.splitlines()[found.line - 1].strip() == "enabled: true"


def test_faults_of_a_definition_have_their_line_and_column(check: Check) -> None:
    wrong = LEARNING.replace(
        "linear_model.LogisticRegression]",
        "{linear_model.LogisticRegression: {l2: x, intercept_lrr: 1}}]",
    )
    found = check(wrong)
    line = wrong.splitlines().index(next(one for one in wrong.splitlines() if "l2: x" in one)) + 1
    assert [(one.line, one.path.rpartition("Regression.")[2]) for one in found] == [
        (line, "l2"),
        (line, "intercept_lrr"),
    ] or {one.line for one in found} == {line}
    messages = " ".join(one.message for one in found)
    assert "expected a number, found 'x'" in messages or "refuses" in messages
    assert "did you mean 'intercept_lr'?" in messages


def test_an_unknown_column_of_a_learner_has_its_hint(check: Check) -> None:
    (found,) = check(LEARNING.replace("features: [a, b]", "features: [a, bb]"))
    assert "missing column 'bb'" in found.message
    assert found.hint == "did you mean 'b'?"
