"""Network: a dense network on standardised features, and its TFLite form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training.extra import library
from gress_ml.dwcp.training.table import Table

Float32 = npt.NDArray[np.float32]

LAYERS = (64, 32, 16)
EPOCHS, PATIENCE, BATCH = 60, 8, 64


@dataclass(frozen=True, slots=True)
class Scaler:
    """Standardisation: ``(x - mean) / scale``."""

    mean: Float32
    scale: Float32

    @classmethod
    def of(cls, features: Float32) -> Scaler:
        """Mean and standard deviation per feature; a constant feature has the scale 1."""
        spread = features.std(axis=0, dtype=np.float64)
        return cls(
            features.mean(axis=0, dtype=np.float64).astype(np.float32),
            np.where(spread > 0, spread, 1.0).astype(np.float32),
        )

    def apply(self, features: Float32) -> Float32:
        """The standardised features."""
        scaled: Float32 = (features - self.mean) / self.scale
        return scaled


def fit(train: Table, validation: Table, scaler: Scaler, seed: int) -> Any:
    """A Keras model; stops when the validation loss no longer falls and keeps its best weights."""
    keras = library("keras")
    keras.utils.set_random_seed(seed)
    library("tensorflow").config.experimental.enable_op_determinism()
    hidden = [keras.layers.Dense(width, activation="relu") for width in LAYERS]
    model = keras.Sequential(
        [
            keras.layers.Input((train.features.shape[1],), name="features"),
            *hidden,
            keras.layers.Dense(len(ALGORITHMS), activation="softmax", name="probabilities"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    model.fit(
        scaler.apply(train.features),
        train.label,
        validation_data=(scaler.apply(validation.features), validation.label),
        epochs=EPOCHS,
        batch_size=BATCH,
        verbose=0,
        callbacks=[keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)],
    )
    return model


def predict(model: Any, scaler: Scaler, features: Float32) -> Float32:
    """Probabilities (n, classes)."""
    found: Float32 = model.predict(scaler.apply(features), verbose=0, batch_size=1024)
    return found


def export(model: Any, folder: Path) -> None:
    """Write ``neural_network.tflite``, float32, with a dynamic batch axis."""
    converter = library("tensorflow").lite.TFLiteConverter.from_keras_model(model)
    (folder / "neural_network.tflite").write_bytes(converter.convert())


def predict_exported(folder: Path, scaler: Scaler, features: Float32) -> Float32:
    """Probabilities of the exported network."""
    runtime = library("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(str(folder / "neural_network.tflite"))
    data = scaler.apply(features)
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(entry["index"], data.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], data)
    interpreter.invoke()
    found: Float32 = interpreter.get_tensor(exit_["index"])
    return found
