"""ONNX models of others, made with onnx alone: the mean of each colour, times a matrix."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MATRIX = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def write_model(path, batch="n", sides=(24, 16), kind=TensorProto.FLOAT):
    nodes = [
        helper.make_node("ReduceMean", ["picture", "axes"], ["colour"], keepdims=0),
        helper.make_node("MatMul", ["colour", "matrix"], ["feature"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("picture", kind, [batch, 3, *sides])],
        [helper.make_tensor_value_info("feature", kind, [batch, 5])],
        [
            numpy_helper.from_array(np.array([2, 3]), "axes"),
            numpy_helper.from_array(MATRIX if kind == TensorProto.FLOAT else MATRIX.astype(np.float64), "matrix"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path
