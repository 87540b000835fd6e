"""Models as functions of arrays, and of the rows of a batch.

Start with :mod:`gress_ml.inference.predictor` (arrays in, arrays out), then ``model`` (what it
reads of a batch) and ``predictions`` (the columns that come out).
"""

from gress_ml.inference.build import Options
from gress_ml.inference.ensemble import Ensemble, Weights
from gress_ml.inference.gpu import Gpu
from gress_ml.inference.graph import Graph, Tensor
from gress_ml.inference.model import Model, Source, rejected
from gress_ml.inference.predictions import BAD_PREDICTION, Predictions, success
from gress_ml.inference.predictor import Predictor, load_predictor, warm_up
from gress_ml.inference.settings import EnsembleWeights, ModelSettings

__all__ = [
    "BAD_PREDICTION",
    "Ensemble",
    "EnsembleWeights",
    "Gpu",
    "Graph",
    "Model",
    "ModelSettings",
    "Options",
    "Predictions",
    "Predictor",
    "Source",
    "Tensor",
    "Weights",
    "load_predictor",
    "rejected",
    "success",
    "warm_up",
]
