"""Writes `exported.onnx`: an exported file that needs no trained network, for tests where torch is not installed.

    python tests/light/make_exported.py

An embedding is a picture's mean colours in 4 × 4 areas, times a random matrix, brought to length one.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from samecar.embedding.exported import EMBEDDINGS, PICTURES, ExportFacts, TrainedOn
from samecar.embedding.exporting import OPSET, write_facts
from samecar.preprocessing import Preprocessing

PATH = Path(__file__).with_name("exported.onnx")
SIDE, AREAS, SIZE = 32, 4, 64


def write(path: Path) -> None:
    matrix = np.random.default_rng(0).standard_normal((3 * AREAS * AREAS, SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", [PICTURES], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["numbers", "grey"], ["centred"]),
        helper.make_node(
            "AveragePool", ["centred"], ["areas"], kernel_shape=[SIDE // AREAS] * 2, strides=[SIDE // AREAS] * 2
        ),
        helper.make_node("Flatten", ["areas"], ["colours"]),
        helper.make_node("MatMul", ["colours", "matrix"], ["features"]),
        helper.make_node("LpNormalization", ["features"], [EMBEDDINGS], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(PICTURES, TensorProto.UINT8, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, ["batch", SIZE])],
        [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(np.array(128, np.float32), "grey")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9), path)
    facts = ExportFacts(
        samecar="0.1.0",
        torch="none",
        model="0" * 16,
        composition="",
        recipe=None,
        precision="fp32",
        calibrated_on=None,
        preprocessing=Preprocessing(SIDE, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        embedding_size=SIZE,
        licence=None,
        initial_weights="none",
        epoch_choice="last epoch",
        seed=0,
        trained_on=TrainedOn(source="none", digest="0" * 16, pictures=0, vehicles=()),
        scores=(),
    )
    write_facts(path, facts)


if __name__ == "__main__":
    write(PATH)
