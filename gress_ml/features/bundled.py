"""The feature set that travels inside a model bundle."""

from __future__ import annotations

from gress_ml.bundle import Bundle
from gress_ml.errors import ModelCorrupt
from gress_ml.features.feature_set import FeatureSet
from gress_ml.schema import FeatureVector


def features_of(bundle: Bundle) -> FeatureSet:
    """The features that a model was trained on. Raises ModelCorrupt, SchemaError."""
    features = FeatureSet.from_json(bundle.require("feature_schema").read_bytes())
    declared, found = bundle.manifest.feature_fingerprint, features.vector.fingerprint
    if declared and declared != found:
        raise ModelCorrupt(
            f"bundle {bundle.name} {bundle.version}: the manifest declares the features "
            f"{declared[:12]}…, its feature schema makes {found[:12]}…"
        )
    return features


def vector_of(bundle: Bundle) -> FeatureVector | None:
    """The vector of these features; None when the bundle does not say."""
    return None if bundle.file("feature_schema") is None else features_of(bundle).vector
