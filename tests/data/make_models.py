"""Makes the small model bundles that the tests load. They are committed; this is their source.

Needs the ``train`` extra (TensorFlow and onnx). From the repository's root::

    python tests/data/make_models.py

============== ==================================================================================
bundle         what it is
============== ==================================================================================
tiny-selector  ensemble: three trees in ONNX and a dense network in TFLite, 4 features, 3 classes
tiny-trees     the trees alone
tiny-net       the network alone, TFLite
tiny-inputs    ONNX with a float, an int and a string input and two outputs, one value per row
============== ==================================================================================
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper

from gress_ml.registry import Registry

MODELS = Path(__file__).parent / "models"
FEATURES = ("rtt_ms", "bandwidth_mbps", "hde_compression_ratio", "hde_delta_hit_rate")
CLASSES = ("hde", "amst", "none")
MEAN, SCALE = (40.0, 400.0, 8.0, 50.0), (25.0, 250.0, 5.0, 28.0)

#: As if the trees had been trained: how many rows lay between which edges.
REFERENCE = {
    "rtt_ms": {
        "mean": 45.0,
        "std": 25.0,
        "edges": [0.0, 30.0, 60.0, 100.0],
        "counts": [40, 30, 30],
    },
    "bandwidth_mbps": {
        "mean": 400.0,
        "std": 250.0,
        "edges": [0.0, 200.0, 600.0, 1000.0],
        "counts": [30, 50, 20],
    },
}

# One stump or small tree per class: (feature, threshold, below, above); a tuple is a sub-tree.
TREES = (
    (2, 10.0, -1.0, (3, 80.0, 0.5, 3.0)),
    (1, 500.0, -1.0, (0, 1.0, 3.0, 1.0)),
    (1, 100.0, 1.0, (2, 4.0, 1.5, -0.5)),
)
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def trees() -> onnx.ModelProto:
    columns = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    nodes: dict[str, list[object]] = {f"nodes_{name}": [] for name in columns}
    leaves: dict[str, list[object]] = {
        f"class_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")
    }

    def add(tree: int, part: object) -> int:
        """Append a node and what is under it; its number."""
        here = sum(1 for number in nodes["nodes_treeids"] if number == tree)
        at = len(nodes["nodes_treeids"])
        row = (tree, here, 0, "LEAF", 0.0, 0, 0)
        for name, value in zip(columns, row, strict=True):
            nodes[f"nodes_{name}"].append(value)
        if isinstance(part, tuple):
            feature, threshold, below, above = part
            nodes["nodes_featureids"][at] = feature
            nodes["nodes_modes"][at] = "BRANCH_LT"
            nodes["nodes_values"][at] = threshold
            nodes["nodes_truenodeids"][at] = add(tree, below)
            nodes["nodes_falsenodeids"][at] = add(tree, above)
        else:
            for name, value in zip(leaves, (tree, here, tree, part), strict=True):
                leaves[name].append(value)
        return here

    for number, tree in enumerate(TREES):
        add(number, tree)
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["input"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        post_transform="SOFTMAX",
        classlabels_int64s=[0, 1, 2],
        **nodes,
        **leaves,
    )
    return graph(
        [node],
        inputs=[("input", TensorProto.FLOAT, [None, 4])],
        outputs=[
            ("label", TensorProto.INT64, [None]),
            ("probabilities", TensorProto.FLOAT, [None, 3]),
        ],
    )


def several_inputs() -> onnx.ModelProto:
    """score = amount * 2 + count + (10 when country is XX); twice = score * 2."""
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    nodes = [
        helper.make_node("Mul", ["amount", "two"], ["double"]),
        helper.make_node("Cast", ["count"], ["count_f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["double", "count_f"], ["sum"]),
        helper.make_node(
            "LabelEncoder",
            ["country"],
            ["risk"],
            domain="ai.onnx.ml",
            keys_strings=["XX"],
            values_floats=[10.0],
            default_float=0.0,
        ),
        helper.make_node("Add", ["sum", "risk"], ["score"]),
        helper.make_node("Mul", ["score", "two"], ["twice"]),
    ]
    return graph(
        nodes,
        inputs=[
            ("amount", TensorProto.FLOAT, [None, 1]),
            ("count", TensorProto.INT64, [None, 1]),
            ("country", TensorProto.STRING, [None, 1]),
        ],
        outputs=[
            ("score", TensorProto.FLOAT, [None, 1]),
            ("twice", TensorProto.FLOAT, [None, 1]),
        ],
        initializers=[two],
    )


def graph(nodes, inputs, outputs, initializers=()) -> onnx.ModelProto:
    infos = [[helper.make_tensor_value_info(*info) for info in part] for part in (inputs, outputs)]
    body = helper.make_graph(nodes, "graph", infos[0], infos[1], list(initializers))
    model = helper.make_model(body, opset_imports=OPSETS, ir_version=8)
    onnx.checker.check_model(model)
    return model


def network() -> bytes:
    """A dense 8-8 network that learned the rules of the trees, roughly."""
    tf.keras.utils.set_random_seed(7)
    rng = np.random.default_rng(7)
    raw = rng.uniform((0, 10, 1, 0), (100, 1000, 20, 100), size=(4000, 4)).astype(np.float32)
    label = np.where(raw[:, 1] > 500, 1, np.where((raw[:, 2] > 10) & (raw[:, 3] > 50), 0, 2))
    model = tf.keras.Sequential(
        [
            tf.keras.Input((4,)),
            tf.keras.layers.Dense(8, "relu"),
            tf.keras.layers.Dense(8, "relu"),
            tf.keras.layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit((raw - MEAN) / SCALE, label, epochs=10, verbose=0)
    converted = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return bytes(converted)


def main() -> None:
    shutil.rmtree(MODELS, ignore_errors=True)
    tree_bytes, net_bytes = trees().SerializeToString(), network()
    labels = json.dumps({"classes": CLASSES}).encode()
    scaler = json.dumps({"mean": MEAN, "scale": SCALE}).encode()
    note = json.dumps({"features": FEATURES, "purpose": "tests"}).encode()
    bundles = {
        "tiny-selector": {
            "trees.onnx": tree_bytes,
            "neural_network.tflite": net_bytes,
            "feature_scaler.json": scaler,
            "label_encoder.json": labels,
            "metadata.json": note,
        },
        "tiny-trees": {"trees.onnx": tree_bytes, "label_encoder.json": labels},
        "tiny-net": {"model.tflite": net_bytes, "label_encoder.json": labels},
        "tiny-inputs": {"model.onnx": several_inputs().SerializeToString()},
    }
    registry = Registry(MODELS)
    for name, files in bundles.items():
        with tempfile.TemporaryDirectory() as folder:
            for file, data in files.items():
                (Path(folder) / file).write_bytes(data)
            seen = REFERENCE if name == "tiny-trees" else None
            created = "2026-11-21T00:00:00Z"
            registry.push(Path(folder), name, "1.0.0", created=created, training_reference=seen)
            registry.alias(name, "champion", "1.0.0")


if __name__ == "__main__":
    main()
