"""Features: ten transforms from columns to a feature vector, the same in training and serving.

Reading order: ``spec`` (how a feature is written down), ``feature_set`` (columns in, vectors out),
``plan`` and ``stage`` (how a batch is computed at once), ``values`` and ``encodings`` (before and
after the checks), ``aggregation``, ``series``, ``figures`` and ``state`` (what is remembered),
``keys`` (row keys).
"""

from gress_ml.features.bundled import features_of, vector_of
from gress_ml.features.feature_set import FeatureColumn, FeatureSet
from gress_ml.features.keys import row_keys
from gress_ml.features.spec import AnyFeature, FeatureSetSpec, FeatureSpec
from gress_ml.features.state import FeatureState

__all__ = [
    "AnyFeature",
    "FeatureColumn",
    "FeatureSet",
    "FeatureSetSpec",
    "FeatureSpec",
    "FeatureState",
    "features_of",
    "row_keys",
    "vector_of",
]
