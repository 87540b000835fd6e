"""Settings of a step that asks models: what it reads, how it batches, what answers in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from gress_ml.duration import Duration
from gress_ml.inference.build import Options
from gress_ml.inference.ensemble import Weights
from gress_ml.inference.gpu import Gpu
from gress_ml.operator import OperatorConfig


class EnsembleWeights(OperatorConfig):
    trees: float = Field(default=0.7, ge=0.0)
    """Weight of the trees; only the ratio of the two counts."""
    network: float = Field(default=0.3, ge=0.0)
    """Weight of the network."""

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if self.trees + self.network == 0:
            raise ValueError("trees and network cannot both be 0")
        return self


class ModelSettings(OperatorConfig):
    """The keys that all steps share which ask models."""

    features: str = "features"
    """The vector column to read, for a model with one input."""
    inputs: Mapping[str, str] | None = None
    """The column for each input of the graph, ``{input: column}``; read instead of `features`."""
    output: str | None = None
    """The graph's output to read, where several could hold the answer."""
    classes: tuple[str, ...] = ()
    """Names of the probability columns, for a model file that names none."""
    prefix: str = ""
    """Put in front of the names of the columns that come out."""
    batch_size: int = Field(
        default=100, ge=1, le=1000, json_schema_extra={"ml_default": "inference.default_batch_size"}
    )
    """Rows per call of the model, at most."""
    batch_timeout: Duration = Field(
        default=0.0, json_schema_extra={"ml_default": "inference.default_batch_timeout"}
    )
    """How long the first waiting row waits for company; 0 takes what is there, so that a lone row
    never waits."""
    max_concurrency: int = Field(
        default=1, ge=1, le=256, json_schema_extra={"ml_default": "inference.max_concurrency"}
    )
    """Calls that may run at once in a worker; more counts as overload. Needs `max_latency`."""
    max_latency: Duration | None = Field(
        default=None, json_schema_extra={"ml_default": "inference.max_latency"}
    )
    """How long a call may take before the fallback answers; no limit unless given."""
    fallback: str | float | None = None
    """The prediction where the model did not answer: a class, or a number for a regression.
    Without it such rows are rejected."""
    enable_gpu: bool = Field(
        default=False, json_schema_extra={"ml_default": "inference.enable_gpu"}
    )
    """Whether ONNX graphs run on CUDA devices; on the CPU where there are none."""
    gpu_device_ids: tuple[int, ...] = Field(
        default=(0,), json_schema_extra={"ml_default": "inference.gpu_device_ids"}
    )
    """The CUDA devices; calls go to them in turn."""
    weights: EnsembleWeights | None = None
    """Shares of an ensemble's parts; those of the bundle unless given, which are 0.7 and 0.3 where
    it does not say. A part of weight 0 is not run."""
    warmup: bool = True
    """Whether the batch sizes in use are tried once before the first row."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.inputs is not None and "features" in self.model_fields_set:
            raise ValueError("give 'features' or 'inputs', not both")
        if self.enable_gpu and not self.gpu_device_ids:
            raise ValueError("enable_gpu needs one device id or more in gpu_device_ids")
        return self

    def options(self, features: int | None) -> Options:
        """How to load a bundle whose feature schema has so many features."""
        return Options(
            weights=Weights(self.weights.trees, self.weights.network) if self.weights else None,
            gpu=Gpu(self.gpu_device_ids) if self.enable_gpu else None,
            output=self.output,
            classes=self.classes,
            features=features,
        )
