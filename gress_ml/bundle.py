"""Bundle: one version of a model as a folder of checked files, and the manifest that names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gress_ml.errors import ModelCorrupt

MANIFEST = "manifest.json"

#: What a file is for. ``model`` is a single graph; ``trees`` and ``network`` form an ensemble.
Role = Literal[
    "model",  # .onnx or .tflite: one graph; .river: a learner
    "trees",  # .onnx: the trees, on raw features
    "network",  # .tflite or .onnx: the network, on standardised features
    "trees_source",  # xgboost_model.json: what the trees were converted from
    "feature_schema",  # feature_schema.json: a gress_ml.features.FeatureSetSpec
    "scaler",  # feature_scaler.json {mean, scale}
    "labels",  # label_encoder.json {classes}
    "metadata",  # metadata.json: free form, for people
    "card",  # model_card.md: what it is for, how good it is, where its limits are
]


class FileEntry(BaseModel):
    """One file of a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")  # flat: no folders, no traversal
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Manifest(BaseModel):
    """What is in a bundle. Stored as ``manifest.json`` beside the files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    name: str
    version: str  # semantic version without a leading v
    files: Mapping[Role, FileEntry]
    classes: tuple[str, ...] = ()  # order of the probability columns; empty for regression
    #: Shares of an ensemble's parts, as chosen in training; empty when the bundle does not say.
    weights: Mapping[Literal["trees", "network"], float] = Field(default_factory=dict)
    feature_fingerprint: str = ""  # of the feature schema; empty when the bundle has none
    #: Summary of the training data per feature, for drift: {feature: {mean, std, edges, counts}}.
    training_reference: Mapping[str, Any] = Field(default_factory=dict)
    #: Scores at training time, e.g. {"accuracy": 0.9}.
    scores: Mapping[str, float] = Field(default_factory=dict)
    tags: Mapping[str, str] = Field(default_factory=dict)
    created: str = ""  # RFC 3339


@dataclass(frozen=True, slots=True)
class ModelUse:
    """That a step uses a model: by which reference, and which version that was when it opened."""

    model: str
    reference: str  # ``champion``, ``1.2.0``, ``latest``
    version: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was found and whose checksums hold."""

    folder: Path
    manifest: Manifest
    warm_up: bool = True  # whether operators should run it before the first event

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    def file(self, role: Role) -> Path | None:
        """Where the file for a role is; None when the bundle has none."""
        entry = self.manifest.files.get(role)
        return None if entry is None else self.folder / entry.path

    def require(self, role: Role) -> Path:
        """Where the file for a role is. Raises ModelCorrupt when the bundle has none."""
        path = self.file(role)
        if path is None:
            raise ModelCorrupt(
                f"bundle {self.name} {self.version} in {self.folder} has no {role!r} file: "
                f"it has {sorted(self.manifest.files)}"
            )
        return path


@dataclass(frozen=True, slots=True)
class Publication:
    """A model that wants to become a version in the registry: an effect, performed by the shell.

    The version is a function of the log, so the same one is asked for again after a restart and is
    found to be there. Where ``rival`` is given, it is published only if its score is not worse
    than the rival's by more than ``tolerance``; a rival without that score is no rival.
    """

    name: str
    version: str
    files: Mapping[str, bytes]  # by their usual names (``gress_ml.registry.manifest.ROLES``)
    scores: Mapping[str, float]
    metric: str  # the one of ``scores`` that counts
    bigger_is_better: bool
    rival: str | None = None  # an alias or version of the same model
    tolerance: float = 0.0
    alias: str | None = None  # that is to point to the new version
    tags: Mapping[str, str] = field(default_factory=dict)
