"""Network: a dense network on standardised features, and its TFLite form."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training.calibration import Calibration
from gress_ml.dwcp.training.extra import library
from gress_ml.dwcp.training.table import Float32, Table
from gress_ml.dwcp.training.trees import row_weights

LAYERS = (64, 32, 16)
#: Epochs without a better validation loss after which training ends.
PATIENCE = 8
_VALIDATION_BATCH = 4096


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What the search may choose."""

    learning_rate: float = 2e-3
    dropout: float = 0.0
    batch: int = 256
    epochs: int = 40
    stake_power: float = 0.0  # weight of a row: its cost at stake to this power

    def as_dict(self) -> dict[str, float]:
        """For the metadata of a bundle."""
        return asdict(self)


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


def fit(
    train: Table,
    validation: Table,
    scaler: Scaler,
    settings: NetworkSettings,
    seed: int,
    logs: Path | None = None,
) -> Any:
    """A Keras model; stops when the validation loss no longer falls and keeps its best weights.

    ``logs`` is a folder for TensorBoard.
    """
    keras = library("keras")
    keras.utils.set_random_seed(seed)
    library("tensorflow").config.experimental.enable_op_determinism()
    keras.backend.clear_session()  # names of layers begin anew: the export is the same each time
    model = keras.Sequential([*_layers(keras, train.features.shape[1], settings.dropout)])
    model.compile(
        keras.optimizers.Adam(settings.learning_rate),
        "sparse_categorical_crossentropy",
        jit_compile=False,  # compiling takes longer than it saves on so small a network
        steps_per_execution=16,  # fewer returns to Python
    )
    callbacks = [keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)]
    if logs is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(logs)))
    model.fit(
        scaler.apply(train.features),
        train.label,
        sample_weight=row_weights(train, settings.stake_power),
        validation_data=(scaler.apply(validation.features), validation.label),
        epochs=settings.epochs,
        batch_size=settings.batch,
        validation_batch_size=_VALIDATION_BATCH,
        verbose=0,
        callbacks=callbacks,
    )
    return model


def _layers(keras: Any, width: int, dropout: float) -> list[Any]:
    made = [keras.layers.Input((width,), name="features")]
    for number, units in enumerate(LAYERS):
        made.append(keras.layers.Dense(units, activation="relu", name=f"hidden_{number}"))
        if dropout:
            made.append(keras.layers.Dropout(dropout, name=f"dropout_{number}"))
    made.append(keras.layers.Dense(len(ALGORITHMS), activation="softmax", name="probabilities"))
    return made


def calibrated(model: Any, calibration: Calibration) -> Any:
    """The model with ``scale * margin + bias`` in its last layer; it is changed in place."""
    last = model.layers[-1]
    kernel, bias = last.get_weights()
    last.set_weights([kernel * calibration.scale, bias * calibration.scale + calibration.bias])
    return model


def predict(model: Any, scaler: Scaler, features: Float32) -> Float32:
    """Probabilities (n, classes)."""
    found: Float32 = model(scaler.apply(features), training=False).numpy()
    return found


def export(model: Any, folder: Path) -> None:
    """Write ``neural_network.tflite``, float32, with a dynamic batch axis."""
    converter = library("tensorflow").lite.TFLiteConverter.from_keras_model(model)
    with redirect_stdout(StringIO()):  # it tells where it put a copy that is gone already
        converted = converter.convert()
    (folder / "neural_network.tflite").write_bytes(converted)


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
