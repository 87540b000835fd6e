"""The network: the same data give the same file, and the file is the network."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selector_tables import made

from gress_ml.dwcp.training import network
from gress_ml.dwcp.training.calibration import Calibration
from gress_ml.dwcp.training.network import NetworkSettings, Scaler

# Keras reads its variables as NumPy did before version 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SETTINGS = NetworkSettings(epochs=2, dropout=0.1)
TRAIN, VALIDATION = made(300), made(100, seed=4)
SCALER = Scaler.of(TRAIN.features)


def trained(logs: Path | None = None) -> Any:
    return network.fit(TRAIN, VALIDATION, SCALER, SETTINGS, 17, logs)


def exported(model: Any, folder: Path) -> str:
    folder.mkdir()
    network.export(model, folder)
    return sha256((folder / "neural_network.tflite").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def model() -> Any:
    return trained()


def test_the_same_data_give_the_same_file_and_logs_change_nothing(
    model: Any, tmp_path: Path
) -> None:
    one = exported(model, tmp_path / "one")
    assert exported(trained(tmp_path / "logs"), tmp_path / "two") == one
    assert any((tmp_path / "logs").rglob("events.out.tfevents*"))


def test_a_folded_calibration_is_the_calibration_and_is_exported(
    model: Any, tmp_path: Path
) -> None:
    bent = Calibration(0.6, np.array([0.4, -0.1, -0.3]))
    expected = bent.apply(network.predict(model, SCALER, VALIDATION.features))
    folded = network.calibrated(model, bent)
    found = network.predict(folded, SCALER, VALIDATION.features)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    network.export(folded, tmp_path)
    served = network.predict_exported(tmp_path, SCALER, VALIDATION.features)
    np.testing.assert_allclose(served, found, atol=1e-5)


def test_a_constant_feature_is_scaled_by_one() -> None:
    rows = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    np.testing.assert_array_equal(Scaler.of(rows).apply(rows), [[-1.0, 0.0], [1.0, 0.0]])
