"""The ``ml:`` block: model registry, models, feature store, defaults for inference and learning.

Every key is typed, and every key is honoured or refused, never silently ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

from gress_ml.duration import Duration
from gress_ml.topology.block import Block

#: What S3 and GCS both take (and S3 of old).
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", re.ASCII)


class ModelRegistrySpec(Block):
    """Where model bundles live."""

    type: Literal["local", "s3", "gcs"] = "local"
    """Kind of storage: a folder, S3 or what speaks its protocol, or Google Cloud Storage."""
    base_path: str = "models"
    """Folder of the registry. A relative path starts at the project folder; in a bucket, at its
    top."""
    s3_bucket: str | None = None
    """Bucket, used when `type` is `s3`."""
    s3_region: str | None = None
    """Region of the bucket, used when `type` is `s3`; the environment's unless given."""
    gcs_bucket: str | None = None
    """Bucket, used when `type` is `gcs`."""

    @property
    def address(self) -> str:
        """The folder, or the address of the folder in its bucket."""
        if self.type == "local":
            return self.base_path
        scheme, bucket = {"s3": ("s3", self.s3_bucket), "gcs": ("gs", self.gcs_bucket)}[self.type]
        parts = [part for part in self.base_path.split("/") if part not in ("", ".")]
        return f"{scheme}://{'/'.join([bucket or '', *parts])}"


class ModelSpec(Block):
    """A model that is a single file, made known to the registry under a name and a version."""

    name: str = Field(min_length=1)
    """Name that steps use."""
    version: str = Field(pattern=r"^v?\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?$")
    """Semantic version, with or without a leading `v`; missing parts are zero."""
    type: Literal["onnx", "tensorflow"]
    """Format of the file: an ONNX graph, or a TensorFlow Lite model."""
    path: str = Field(min_length=1)
    """The file; a relative path starts at the project folder."""
    enabled: bool = True
    """Whether the model is made known at all."""
    warmup_on_load: bool = True
    """Whether the model is run once per batch size in use before the first event."""
    tags: Mapping[str, str] = Field(default_factory=dict)
    """Free labels for people and dashboards."""


class FeatureStoreSpec(Block):
    """Where looked-up features live."""

    enabled: bool = True
    """Whether look-ups and writes are done; without a store look-ups find nothing."""
    backend: Literal["memory", "redis"] = "memory"
    """`memory` lives and ends with the worker; `redis` is shared by all workers."""
    ttl: Duration = 300.0
    """How long a row lives after it was last written."""
    redis_addr: str = Field(default="localhost:6379", repr=False)
    """Address of Redis, `host:port` or a `redis://` URL."""


class InferenceSpec(Block):
    """Defaults for steps whose operator takes them (see its reference) and that do not set them."""

    default_batch_size: int = Field(default=100, ge=1, le=100_000)
    """Most rows per model call."""
    default_batch_timeout: Duration = 0.0
    """How long the first waiting event may wait for company; `0ms` takes what is there."""
    max_concurrency: int = Field(default=1, ge=1, le=1024)
    """Most model calls at once in a worker."""
    max_latency: Duration | None = None
    """A model call that takes longer is answered by the fallback; none means no limit."""
    enable_gpu: bool = False
    """Whether to use a GPU where there is one; the CPU is the fallback."""
    gpu_device_ids: tuple[int, ...] = ()
    """Which GPUs to use."""


class OnlineLearningSpec(Block):
    """Defaults for steps that learn from the stream and that do not set them."""

    enabled: bool = True
    """`false` is refused in a topology with a step that learns, since it could not run."""
    default_update_batch_size: int = Field(default=32, ge=1)
    """Labelled events per update."""
    default_update_interval: Duration = 5.0
    """Most event time between two updates."""
    default_checkpoint_interval: Duration | None = None
    """Time between two checkpoints of a partition with a learning model; that of the topology
    unless given."""
    checkpoint_dir: str | None = None
    """Folder of all checkpoints of the topology, where it learns; the topology's own
    `checkpoint_dir` unless given. A relative path starts at the project folder."""
    default_learning_rate: float | None = Field(default=None, gt=0)
    """Step size of an update, for learners whose optimizer is not given; river's own unless
    given."""
    enable_validation: bool = True
    """Whether a share of the events is held out for validation."""
    validation_split: float = Field(default=0.2, gt=0, lt=1)
    """The share held out."""


class VariantSpec(Block):
    """One arm of an experiment."""

    name: str = Field(min_length=1)
    """Name of the arm."""
    model_name: str = Field(min_length=1)
    """Model that answers in this arm."""
    model_version: str = Field(min_length=1)
    """Its version, an alias, or `latest`."""
    weight: float = Field(ge=0)
    """Share of the traffic, relative to the other arms."""
    enabled: bool = True
    """Whether the arm takes part."""


class ExperimentSpec(Block):
    """One A/B test, for the step that names it."""

    name: str = Field(min_length=1)
    """Name of the experiment; it salts the assignment."""
    strategy: Literal["random", "hash", "percentage", "user_id", "legacy_fnv"] = "hash"
    """How an event is assigned to an arm."""
    split_key: str | None = None
    """Column of the id that is split by."""
    enable_shadow_mode: bool = False
    """Whether the other arms run too, off the path of the answer."""
    variants: tuple[VariantSpec, ...] = Field(min_length=1)
    """The arms."""


class AbTestingSpec(Block):
    """Experiments; each is run by the step whose config names it."""

    enabled: bool = False
    """Switches experiments on. Without it none may be named by a step."""
    experiments: tuple[ExperimentSpec, ...] = ()
    """The experiments."""


class MlSpec(Block):
    """Models, feature store and inference defaults of a topology."""

    enabled: bool = True
    """`false` is refused in a topology that has steps, since they could not run."""
    model_registry: ModelRegistrySpec = Field(default_factory=ModelRegistrySpec)
    """Where model bundles live."""
    models: tuple[ModelSpec, ...] = ()
    """Models that are single files outside the registry."""
    feature_store: FeatureStoreSpec = Field(default_factory=FeatureStoreSpec)
    """Where looked-up features live."""
    inference: InferenceSpec = Field(default_factory=InferenceSpec)
    """Defaults for steps that call a model."""
    online_learning: OnlineLearningSpec = Field(default_factory=OnlineLearningSpec)
    """Defaults for steps that learn from the stream."""
    ab_testing: AbTestingSpec = Field(default_factory=AbTestingSpec)
    """Experiments."""


def registry_faults(spec: ModelRegistrySpec) -> Iterator[tuple[str, str, str]]:
    """What of a model registry's keys does not fit together: key, message, hint."""
    bucket = f"{spec.type}_bucket"
    if spec.type != "local" and not getattr(spec, bucket):
        yield "type", f"a model registry of type {spec.type!r} needs {bucket}", f"set {bucket}"
    for key in ("s3_bucket", "gcs_bucket"):
        value = getattr(spec, key)
        if value is not None and not _BUCKET.fullmatch(value):
            expected = "expected letters, digits, dots, dashes and underscores"
            yield key, f"{value!r} is not the name of a bucket: {expected}", ""
    if spec.type != "local" and ".." in spec.base_path.split("/"):
        yield "base_path", f"{spec.base_path!r} leads out of the bucket", ""


def switched_off(ml: MlSpec, config: type[BaseModel]) -> bool:
    """Whether an operator learns, as the defaults say that it takes, and learning is off."""
    learns = any(dotted.startswith("online_learning.") for _, dotted in _wishes(config))
    return learns and not ml.online_learning.enabled


def _wishes(config: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Each field of a config that asks for a default of the ml block, and for which."""
    for name, field in config.model_fields.items():
        extra = field.json_schema_extra
        dotted = extra.get("ml_default") if isinstance(extra, dict) else None
        if isinstance(dotted, str):
            yield field.alias or name, dotted


def ml_defaults(
    ml: MlSpec, config: type[BaseModel]
) -> Mapping[str, tuple[object, tuple[str, ...]]]:
    """Values of the ml block that an operator takes for keys that its step does not set.

    A config field asks for one with ``json_schema_extra={"ml_default": "inference.max_latency"}``.
    Only what the file really says counts: key -> (value, path within the block).
    """
    found: dict[str, tuple[object, tuple[str, ...]]] = {}
    for name, dotted in _wishes(config):
        block, _, key = dotted.partition(".")
        owner = getattr(ml, block)
        if block in ml.model_fields_set and key in owner.model_fields_set:
            value = getattr(owner, key)
            plain = list(value) if isinstance(value, tuple) else value
            found[name] = (plain, (block, key))
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ml block says of the thing that a step names: keys of its config, and where."""

    path: tuple[str | int, ...]  # within the block
    values: Mapping[str, object]  # as the file has them
    enabled: bool  # whether things of this kind are switched on


def ml_entry(
    document: Mapping[str, Any], config: type[BaseModel], given: Mapping[str, Any]
) -> Entry | None:
    """The entry of a list of the ml block that a config names; None when it names none.

    A config field names one with ``json_schema_extra={"ml_entry": "ab_testing.experiments"}``; the
    keys of the entry of this name count where the step does not set them. ``document`` is the block
    as the file has it.
    """
    for key, field in config.model_fields.items():
        extra = field.json_schema_extra
        dotted = extra.get("ml_entry") if isinstance(extra, dict) else None
        if not isinstance(dotted, str):
            continue
        block, _, name = dotted.partition(".")
        section = document.get(block)
        if not isinstance(section, dict) or not isinstance(section.get(name), list):
            return None
        for i, entry in enumerate(section[name]):
            if isinstance(entry, dict) and entry.get("name") == given.get(key):
                values = {one: value for one, value in entry.items() if one != "name"}
                return Entry((block, name, i), values, bool(section.get("enabled")))
    return None
