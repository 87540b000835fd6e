"""How a bundle becomes a predictor: by the roles of its files, with every width checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gress_ml.bundle import Bundle
from gress_ml.errors import ModelCorrupt
from gress_ml.inference.ensemble import Ensemble, Standardised, Weights
from gress_ml.inference.gpu import Gpu
from gress_ml.inference.graph import Graph
from gress_ml.inference.onnx import OnnxGraph
from gress_ml.inference.scaler import Scaler
from gress_ml.inference.sessions import CUDA
from gress_ml.inference.single import OneGraph, answer_of
from gress_ml.inference.stable import sample, stable
from gress_ml.inference.tflite import TfliteGraph

if TYPE_CHECKING:  # river takes more than a second to import
    from gress_ml.inference.river import RiverPredictor

DEFAULT_WEIGHTS = Weights()
AnyPredictor = OneGraph | Standardised | Ensemble
RIVER_ENDING = ".river"
#: Rounding of a softmax or a sum of shares stays well within this.
_PROBABILITY_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class Options:
    """How to load a bundle."""

    weights: Weights | None = None  # as the bundle says, unless given
    gpu: Gpu | None = None
    output: str | None = None  # the graph's output to read, where it has several
    classes: tuple[str, ...] = ()  # for a bundle that names none
    features: int | None = None  # width of the feature schema, to check the graph against


def build(bundle: Bundle, options: Options) -> AnyPredictor | RiverPredictor:
    """The predictor of a bundle, freshly loaded. Raises ModelCorrupt."""
    classes = bundle.manifest.classes or options.classes
    model = bundle.file("model")
    if model is not None and model.suffix == RIVER_ENDING:
        return _learner(model, classes)
    roles = set(bundle.manifest.files)
    predictor: AnyPredictor
    if "model" in roles:
        predictor = _one(bundle.require("model"), classes, options)
    elif {"trees", "network"} <= roles:
        predictor = _ensemble(bundle, classes, options)
    elif "trees" in roles:
        predictor = _trees(bundle, classes, options)
    else:
        predictor = _network(bundle, classes, options)
    _require_features(bundle, predictor, options.features)
    _require_answers(bundle, predictor)
    return predictor


def _learner(path: Path, classes: tuple[str, ...]) -> RiverPredictor:
    from gress_ml.inference.river import RiverPredictor

    return RiverPredictor(path, classes)


def _trees(bundle: Bundle, classes: tuple[str, ...], options: Options) -> OneGraph:
    return _one(bundle.require("trees"), classes, options, accepts_missing=True)


def _network(bundle: Bundle, classes: tuple[str, ...], options: Options) -> AnyPredictor:
    path = bundle.file("scaler")
    network = _one(bundle.require("network"), classes, options)
    if path is None:
        return network
    scaler = Scaler.read(path)
    _require_scaler(path, scaler, network)
    return Standardised(network, scaler)


def _ensemble(bundle: Bundle, classes: tuple[str, ...], options: Options) -> AnyPredictor:
    weights = options.weights or _weights(bundle)
    if weights.network == 0:
        return _trees(bundle, classes, options)
    if weights.trees == 0:
        return _network(bundle, classes, options)
    path = bundle.require("scaler")
    trees = _trees(bundle, classes, options)
    network = _one(bundle.require("network"), classes, options)
    scaler = Scaler.read(path)
    _require_scaler(path, scaler, network)
    if trees.inputs[0].width != network.inputs[0].width:
        raise ModelCorrupt(
            f"{bundle.folder}: trees take {trees.inputs[0]}, the network {network.inputs[0]}: "
            "expected the same features. Publish parts that were trained together."
        )
    return Ensemble(trees, network, scaler, weights)


def _weights(bundle: Bundle) -> Weights:
    said = bundle.manifest.weights
    if not said:
        return DEFAULT_WEIGHTS
    try:
        return Weights(said.get("trees", 0.0), said.get("network", 0.0))
    except ValueError as error:
        raise ModelCorrupt(f"{bundle.folder}: {error}. Publish it again.") from error


def _one(
    path: Path, classes: tuple[str, ...], options: Options, *, accepts_missing: bool = False
) -> OneGraph:
    graph, on_gpu = _graph(path, options)
    graph = graph.only(options.output or answer_of(graph.outputs, classes, str(path)))
    graph = stable(graph, str(path), on_gpu=on_gpu)
    return OneGraph(graph, classes, accepts_missing=accepts_missing)


def _graph(path: Path, options: Options) -> tuple[Graph, bool]:
    """The graph, and whether it runs on a GPU."""
    if path.suffix == ".tflite":
        return TfliteGraph(path), False
    graph = OnnxGraph(path, options.gpu)
    return graph, graph.provider == CUDA


def _require_scaler(path: Path, scaler: Scaler, network: OneGraph) -> None:
    width = network.inputs[0].width
    if width != len(scaler.mean):
        raise ModelCorrupt(
            f"{path}: expected {width} means and scales, as the network takes {width} features; "
            f"found {len(scaler.mean)}. Publish the scaler that the network was trained with."
        )


def _require_features(bundle: Bundle, predictor: AnyPredictor, features: int | None) -> None:
    if features is None or len(predictor.inputs) != 1:
        return
    found = predictor.inputs[0]
    if found.width not in (features, None):
        raise ModelCorrupt(
            f"{bundle.folder}: expected a model of {features} features, as the feature schema "
            f"lists; found input {found}. Publish the schema that the model was trained with."
        )


def _require_answers(bundle: Bundle, predictor: AnyPredictor) -> None:
    """Ask once: the answer must be as wide as there are classes, and be probabilities."""
    rows = sample(predictor.inputs)
    answer = predictor.predict(*rows)
    width = len(predictor.classes) or 1
    if answer.shape != (len(rows[0]), width):
        raise ModelCorrupt(
            f"{bundle.folder}: expected {width} values per row, for classes "
            f"{[*predictor.classes]}; found {answer.shape[-1]}. "
            "Put the right label_encoder.json into the bundle."
        )
    finite = answer[np.isfinite(answer)]
    if not (predictor.classes and finite.size):
        return
    low, high = finite.min(), finite.max()
    if low < -_PROBABILITY_SLACK or high > 1 + _PROBABILITY_SLACK:
        raise ModelCorrupt(
            f"{bundle.folder}: expected probabilities from 0 to 1, found {low:g} to {high:g}. "
            "Export the model with its softmax or sigmoid."
        )
