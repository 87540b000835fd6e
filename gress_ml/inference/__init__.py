"""Models as functions of arrays. Start with :mod:`gress_ml.inference.predictor`."""

from gress_ml.inference.build import Options
from gress_ml.inference.ensemble import Ensemble, Weights
from gress_ml.inference.gpu import Gpu
from gress_ml.inference.graph import Graph, Tensor
from gress_ml.inference.predictor import Predictor, load_predictor, warm_up

__all__ = [
    "Ensemble",
    "Gpu",
    "Graph",
    "Options",
    "Predictor",
    "Tensor",
    "Weights",
    "load_predictor",
    "warm_up",
]
