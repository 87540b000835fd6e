"""Makes the odd graphs that the loader must refuse, or treat with care. They are committed.

Needs the ``train`` extra. From the repository's root::

    python tests/data/make_graphs.py
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
from make_models import MODELS, graph
from onnx import TensorProto, helper, numpy_helper

GRAPHS = Path(__file__).parent / "graphs"
FLOAT = TensorProto.FLOAT
IN = [("input", FLOAT, [None, 4])]


def unary(op: str, out: list[object] | None = None, **attributes: object) -> onnx.ModelProto:
    """A graph of one operation on (n, 4)."""
    node = helper.make_node(op, ["input"], ["out"], **attributes)
    return graph([node], IN, [("out", FLOAT, out or [None, 4])])


def binary() -> onnx.ModelProto:
    """One column: the sigmoid of the sum of the features."""
    nodes = [
        helper.make_node("ReduceSum", ["input", "axis"], ["sum"], keepdims=1),
        helper.make_node("Sigmoid", ["sum"], ["out"]),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    return graph(nodes, IN, [("out", FLOAT, [None, 1])], [axis])


def rows_mixed() -> onnx.ModelProto:
    """Subtracts the mean of the batch from each row."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["input", "mean"], ["out"]),
    ]
    return graph(nodes, IN, [("out", FLOAT, [None, 4])])


def zipmap() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Softmax", ["input"], ["p"], axis=-1),
        helper.make_node(
            "ZipMap", ["p"], ["out"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3]
        ),
    ]
    key = helper.make_tensor_type_proto(FLOAT, [])
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, key))
    body = helper.make_graph(
        nodes,
        "zipmap",
        [helper.make_tensor_value_info(*IN[0])],
        [helper.make_value_info("out", kind)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8)


def doubles() -> onnx.ModelProto:
    """float64 in, float64 out, shape (n, 2, 2) in."""
    node = helper.make_node("Softmax", ["flat"], ["out"], axis=-1)
    flat = helper.make_node("Flatten", ["input"], ["flat"], axis=1)
    return graph(
        [flat, node],
        [("input", TensorProto.DOUBLE, [None, 2, 2])],
        [("out", TensorProto.DOUBLE, [None, 4])],
    )


def two_values() -> onnx.ModelProto:
    """The value at an index: it fails on an index other than 0 and 1."""
    node = helper.make_node("Gather", ["values", "index"], ["out"])
    values = helper.make_tensor("values", FLOAT, [2], [10.0, 20.0])
    index, out = [("index", TensorProto.INT64, [None, 1])], [("out", FLOAT, [None, 1])]
    return graph([node], index, out, [values])


def dense() -> onnx.ModelProto:
    """17 features through three layers of 1,024 to three classes: work for a GPU, in few bytes, as
    all weights of a layer are the same number and ONNX Runtime spreads them out when it loads."""
    widths = (17, 1024, 1024, 1024, 3)
    nodes, shapes = [], []
    last = "input"
    for layer, (wide, wider) in enumerate(itertools.pairwise(widths)):
        shape, weights, sums = f"shape{layer}", f"weights{layer}", f"sums{layer}"
        shapes.append(helper.make_tensor(shape, TensorProto.INT64, [2], [wide, wider]))
        value = helper.make_tensor("value", FLOAT, [1], [0.01])
        nodes.append(helper.make_node("ConstantOfShape", [shape], [weights], value=value))
        nodes.append(helper.make_node("MatMul", [last, weights], [sums]))
        last = f"out{layer}"
        nodes.append(helper.make_node("Tanh", [sums], [last]))
    nodes.append(helper.make_node("Softmax", [last], ["out"], axis=-1))
    return graph(nodes, [("input", FLOAT, [None, 17])], [("out", FLOAT, [None, 3])], shapes)


def convolution() -> onnx.ModelProto:
    """17 features as a series through two convolutions: cuDNN takes other kernels for other batch
    sizes, and rounds its answers differently."""
    random = np.random.default_rng(3)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = random.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        return numpy_helper.from_array(values.astype(np.float32), name)

    nodes = [
        helper.make_node("Unsqueeze", ["input", "channel"], ["series"]),
        helper.make_node("Conv", ["series", "weights1"], ["sums1"]),
        helper.make_node("Relu", ["sums1"], ["hidden1"]),
        helper.make_node("Conv", ["hidden1", "weights2"], ["sums2"]),
        helper.make_node("Relu", ["sums2"], ["hidden2"]),
        helper.make_node("Flatten", ["hidden2"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights3"], ["sums3"]),
        helper.make_node("Softmax", ["sums3"], ["out"], axis=-1),
    ]
    constants = [
        helper.make_tensor("channel", TensorProto.INT64, [1], [1]),
        weights("weights1", 32, 1, 5),
        weights("weights2", 64, 32, 5),
        weights("weights3", 64 * 9, 3),
    ]
    return graph(nodes, [("input", FLOAT, [None, 17])], [("out", FLOAT, [None, 3])], constants)


def quantised() -> bytes:
    """A dense network in whole int8, inputs and outputs too."""
    tf.keras.utils.set_random_seed(3)
    layers = [tf.keras.Input((4,)), tf.keras.layers.Dense(3, "softmax")]
    converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Sequential(layers))
    rows = np.random.default_rng(3).normal(size=(200, 1, 4)).astype(np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row] for row in rows)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main() -> None:
    GRAPHS.mkdir(exist_ok=True)
    fixed = graph(
        [helper.make_node("Softmax", ["input"], ["out"], axis=-1)],
        [("input", FLOAT, [1, 4])],
        [("out", FLOAT, [1, 4])],
    )
    graphs = {
        "softmax": unary("Softmax", axis=-1),
        "logits": unary("Identity"),
        "logarithm": unary("Log"),
        "random": unary("RandomNormalLike"),
        "fixed_batch": fixed,
        "binary": binary(),
        "rows_mixed": rows_mixed(),
        "zipmap": zipmap(),
        "doubles": doubles(),
        "two_values": two_values(),
        "dense": dense(),
        "convolution": convolution(),
    }
    for name, model in graphs.items():
        (GRAPHS / f"{name}.onnx").write_bytes(model.SerializeToString())
    (GRAPHS / "quantised.tflite").write_bytes(quantised())
    net = MODELS / "tiny-net" / "1.0.0" / "model.tflite"
    rows = np.random.default_rng(5).uniform(-2, 2, (8, 4)).astype(np.float32)
    interpreter = tf.lite.Interpreter(str(net))
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, rows.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, rows)
    interpreter.invoke()
    out = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    golden = {"rows": rows.tolist(), "probabilities": out.tolist()}
    (GRAPHS / "tiny-net.golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
