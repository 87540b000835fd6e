"""OneGraph: a single graph as a predictor, with the output that holds the answer chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gress_ml.errors import ModelCorrupt
from gress_ml.inference.graph import Array, Graph, Tensor

Float32 = npt.NDArray[np.float32]


class OneGraph:
    """The answer of one output, float32 of shape (n, classes), or (n, 1) for regression.

    An output of one column with two classes is the probability of the second.
    """

    vector = None

    def __init__(
        self, graph: Graph, classes: tuple[str, ...], *, accepts_missing: bool = False
    ) -> None:
        self._graph = graph
        self.classes = classes
        self.inputs: tuple[Tensor, ...] = tuple(graph.inputs)
        self.accepts_missing = accepts_missing
        self._complement = len(classes) == 2 and graph.outputs[0].width == 1
        self._width = len(classes) or 1

    def predict(self, *arrays: Array) -> Float32:
        answer = self._graph.run(*arrays)[0]
        if answer.dtype != np.float32:
            answer = answer.astype(np.float32)
        if answer.ndim != 2:
            answer = answer.reshape(len(answer), -1)
        if self._complement:
            answer = np.concatenate([1 - answer, answer], axis=1)
        return answer


def answer_of(outputs: Sequence[Tensor], classes: Sequence[str], name: str) -> str:
    """The name of the output that holds probabilities or values. Raises ModelCorrupt."""
    numeric = [t for t in outputs if t.dtype != object]
    if classes:
        widths = {len(classes), None, *([1] if len(classes) == 2 else [])}
        floats = [t for t in numeric if t.dtype.kind == "f"]
        fitting = [t for t in floats if t.width in widths]
    else:
        fitting = [t for t in numeric if t.width in (1, None)]
    exact = [t for t in fitting if t.width == len(classes)] if classes else fitting
    found = exact or fitting
    if len(found) == 1:
        return found[0].name
    wanted = f"the probabilities of {[*classes]}" if classes else "one value per row"
    listed = "; ".join(str(tensor) for tensor in outputs)
    advice = (
        "Name one of them as the output to read."
        if found
        else "Put the right label_encoder.json into the bundle, or export the model again."
    )
    raise ModelCorrupt(
        f"{name}: expected {'one' if found else 'an'} output with {wanted}, "
        f"found {listed}. {advice}"
    )
