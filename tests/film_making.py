"""Makes films of painted vehicles whose places are known, and detectors as ONNX files."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from samecar.films import Detections

COLOURS = {"car": (220, 30, 30), "bus": (30, 60, 220), "truck": (30, 200, 60)}
ROAD = (110, 110, 110)


def write_film(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    rate: float = 10,
    *,
    times: Sequence[float] | None = None,
    codec: str = "png",
    clock: int = 1000,
    pixel: Fraction = Fraction(1),
) -> Path:
    """Writes pictures (height, width, 3) as a film, by default a .mov film without loss.

    Its table of contents stands at the beginning with PNG, at the end with other codecs. `times` are in seconds;
    without them there are `rate` pictures a second. The clock ticks so many times a second; a `pixel` is so many times
    as wide as it is high.
    """
    options = {"movflags": "faststart"} if codec == "png" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=clock)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
        stream.codec_context.sample_aspect_ratio = pixel
        stamps = [i / rate for i in range(len(pictures))] if times is None else times
        for picture, stamp in zip(pictures, stamps, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = round(clock * stamp)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn_film(path: Path) -> None:
    """Says in an MP4 file's header that the camera was held on its side: players turn the picture clockwise."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def road(height: int = 120, width: int = 240) -> NDArray[np.uint8]:
    return np.full((height, width, 3), ROAD, np.uint8)


def paint_vehicle(
    picture: NDArray[np.uint8], kind: str, left: int, top: int, width: int = 40, height: int = 30
) -> None:
    """Paints a vehicle with two dark windows; what lies outside the picture is cut off."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    across, down = columns - left, rows - top
    inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    picture[inside] = COLOURS[kind]
    window = inside & (height // 4 <= down) & (down < height // 2) & (across % (width // 2) >= width // 4)
    picture[window] = [value // 2 for value in COLOURS[kind]]


class ColourDetector:
    """Finds painted vehicles by their colour."""

    def detect(self, picture: NDArray[np.uint8], least: float) -> Detections:
        boxes, kinds = [], []
        for kind, colour in COLOURS.items():
            rows, columns = np.nonzero(np.abs(picture.astype(int) - colour).max(axis=2) < 40)
            if len(rows) >= 20:
                boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
                kinds.append(kind)
        confidences = np.full(len(boxes), 0.9, np.float32)
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), confidences, tuple(kinds))


def save_network(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    shape: Sequence[int | str],
    *,
    input_type: int = TensorProto.FLOAT,
) -> Path:
    """Writes nodes from `images` to `output` as an ONNX file."""
    graph = helper.make_graph(
        list(nodes),
        "detector",
        [helper.make_tensor_value_info("images", input_type, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def constant_detector(path: Path, rows: NDArray[np.float32], side: int = 64) -> Path:
    """A detector that gives the same rows (cells, 5 + classes) whatever it sees."""
    nodes = [
        helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "nothing"], ["zero"]),
        helper.make_node("Add", ["rows", "zero"], ["output"]),
    ]
    return save_network(path, nodes, {"rows": rows[None], "nothing": np.float32(0)}, [1, 3, side, side])


def red_detector(path: Path, height: int = 128, width: int = 256, classes: int = 80) -> Path:
    """A network that sees one red vehicle: where red exceeds blue, around the middle, 40 × 30 pixels, class 2.

    Its boxes are in pixels already. Blue is its first channel, red its last.
    """
    cells = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
    rest = np.zeros((1, cells - 1, 5 + classes), np.float32)
    rest[..., 0] = width / 2
    rows, columns = np.mgrid[:height, :width].astype(np.float32) + 0.5
    kind = np.zeros((1, 1, classes), np.float32)
    kind[..., 2] = 1
    constants = {
        "rest": rest,
        "columns": columns[None, None],
        "rows": rows[None, None],
        "size": np.array([[[40, 30]]], np.float32),
        "kind": kind,
        "much": np.float32(100),
        "one": np.float32(1),
        "enough": np.float32(0.9 / 500),
        "most": np.float32(0.9),
        "row": np.array([1, 1, 1]),
        **{name: np.array([value]) for name, value in {"i0": 0, "i1": 1, "i2": 2, "i3": 3}.items()},
    }

    def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(kind, inputs.split(), [output], **attributes)

    nodes = [
        node("Slice", "images i0 i1 i1", "blue"),
        node("Slice", "images i2 i3 i1", "red"),
        node("Sub", "red blue", "difference"),
        node("Greater", "difference much", "is_red"),
        node("Cast", "is_red", "mask", to=TensorProto.FLOAT),
        node("ReduceSum", "mask", "pixels", keepdims=0),
        node("Max", "pixels one", "divisor"),
        node("Mul", "mask columns", "weighted_columns"),
        node("ReduceSum", "weighted_columns", "sum_columns", keepdims=0),
        node("Div", "sum_columns divisor", "column"),
        node("Mul", "mask rows", "weighted_rows"),
        node("ReduceSum", "weighted_rows", "sum_rows", keepdims=0),
        node("Div", "sum_rows divisor", "line"),
        node("Mul", "pixels enough", "belief"),
        node("Min", "belief most", "confidence"),
        *(node("Reshape", f"{name} row", f"{name}_row") for name in ("column", "line", "confidence")),
        node("Concat", "column_row line_row size confidence_row kind", "found", axis=2),
        node("Concat", "found rest", "output", axis=1),
    ]
    return save_network(path, nodes, constants, [1, 3, height, width])
