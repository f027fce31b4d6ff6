"""From a network of torch to an ONNX file that takes pictures as they are, and how well the two agree."""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.onnx.utils import register_custom_op_symbolic, unregister_custom_op_symbolic

from samecar.embedding.encoder import Encoder
from samecar.embedding.exported import EMBEDDINGS, PICTURES, ExportFacts
from samecar.embedding.filling import Embed
from samecar.errors import missing_library
from samecar.models.composite import Network
from samecar.preprocessing import Pixels, Preprocessing

OPSET = 20
"""Version of ONNX's operators: the newest that torch's exporter writes; onnxruntime reads it from 1.17 on."""

BATCHES = (1, 3, 32)
"""Sizes of the batches in which an exported file is held against torch."""

QUANTISED = ("Conv", "Gemm", "MatMul")
"""Operators that int8 changes: nearly all of the work; the rest, scaling and length among it, stays exact."""


PERCENTILE = 99.99
"""Share of the numbers between layers that int8 has room for; the largest ones would make all others coarse."""


class Exported(nn.Module):
    """A network with what is done to pictures before it and to embeddings after it.

    Args:
        network: in evaluation mode.
        unit_length: whether embeddings are brought to length one; False leaves them as the network gives them.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Network, *, unit_length: bool = True) -> None:
        super().__init__()
        self.network = network
        self.unit_length = unit_length
        for name in ("mean", "deviation"):
            values = torch.tensor(getattr(network.preprocessing, name))
            self.register_buffer(name, values[:, None, None])

    def forward(self, pictures: Tensor) -> Tensor:
        """From uint8 (batch, 3, height, width), RGB, to embeddings, (batch, size)."""
        normalised = (pictures.float() / 255 - self.mean) / self.deviation
        embeddings: Tensor = self.network(normalised).float()
        return functional.normalize(embeddings) if self.unit_length else embeddings


def write_onnx(network: Network, place: Path | io.BytesIO, *, unit_length: bool = True) -> None:
    """Writes a network as ONNX, with a dynamic batch, to a file or into memory; other arguments as for `Exported`.

    Raises:
        SamecarError: a library is missing.
    """
    _refuse_missing()
    taken = network.preprocessing
    contiguous = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)
    whole = Exported(contiguous, unit_length=unit_length).eval()
    pictures = torch.zeros((2, 3, taken.height, taken.width), dtype=torch.uint8)
    with _quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            whole,
            (pictures,),
            place if isinstance(place, io.BytesIO) else str(place),  # type: ignore[arg-type] # both, without dynamo
            input_names=[PICTURES],
            output_names=[EMBEDDINGS],
            dynamic_axes={PICTURES: {0: "batch"}, EMBEDDINGS: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )


def quantise(path: Path, quantised: Path, pictures: Sequence[Pixels]) -> None:
    """Writes an exported file whose layers compute with whole numbers of 8 bits.

    Weights get a scale for each channel, and 7 of the 8 bits: processors without VNNI would overflow else, so that one
    file would mean different things on different machines. Scales of what flows between layers come from pictures.

    Args:
        path: of the file with numbers of 32 bits.
        quantised: to write.
        pictures: to see how large numbers become.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_suffix(".prepared.onnx")
    with _quiet_exporter(), contextlib.redirect_stdout(io.StringIO()):
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantised),
            _Reader(pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={
                "CalibPercentile": PERCENTILE,
                "CalibStridedMinMax": 1,  # batches that are looked at together; without it memory holds all of them
            },
        )


class _Reader:
    """Hands pictures to onnxruntime's calibration, batch by batch; `set_range` says which of them come next."""

    def __init__(self, pictures: Sequence[Pixels], size: int = 8) -> None:
        self._batches = [pictures[first : first + size] for first in range(0, len(pictures), size)]
        self._coming = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Begins anew with a part of the batches."""
        self._coming = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch; None after the last one."""
        batch = next(self._coming, None)
        return None if batch is None else {PICTURES: np.stack(batch)}


def write_facts(path: Path, facts: ExportFacts) -> None:
    """Puts facts into an exported file's metadata."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, facts.as_metadata())
    model.producer_name, model.producer_version = "samecar", facts.samecar
    onnx.save(model, str(path))


def lowest_cosine(first: Encoder, second: Encoder, pictures: Sequence[Pixels]) -> float:
    """The lowest cosine between two encoders' embeddings of a picture, in batches of `BATCHES`; NaN if one is NaN.

    Args:
        first: an encoder.
        second: another one.
        pictures: as many as `BATCHES` take.
    """
    return lowest_agreement(first.embed_prepared, second.embed_prepared, pictures, BATCHES)


def lowest_agreement(first: Embed, second: Embed, pictures: Sequence[Pixels], batches: Sequence[int]) -> float:
    """The lowest cosine of two embeddings of a picture, times the shorter one's share of the longer one's length.

    Args:
        first: makes embeddings, of any length.
        second: makes others.
        pictures: as many as the batches take.
        batches: their sizes.

    Returns:
        The cosine itself where lengths are equal; NaN if an embedding holds one.
    """
    lowest, begin = [], 0
    for size in batches:
        ours, theirs = (embed(pictures[begin : begin + size]).astype(np.float64) for embed in (first, second))
        longer = np.maximum(*(np.linalg.norm(each, axis=1) for each in (ours, theirs)))
        lowest.append(((ours * theirs).sum(axis=1) / longer**2).min())
        begin += size
    return float(np.min(lowest))


def sample_pictures(preprocessing: Preprocessing, count: int, seed: int = 0) -> list[Pixels]:
    """Pictures to compare encoders on where no others are given: areas of different colours, with noise.

    Args:
        preprocessing: that gives their size.
        count: how many.
        seed: of chance.
    """
    generator = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        areas = Image.fromarray(generator.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        smooth = areas.resize((preprocessing.width, preprocessing.height), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) + generator.normal(0, generator.uniform(1, 30), (*smooth.size[::-1], 3))
        pictures.append(preprocessing.pixels(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))))
    return pictures


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keeps back what torch and onnxruntime say while they write; the file is checked afterwards."""
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        register_custom_op_symbolic("aten::_upsample_bilinear2d_aa", _resize, OPSET)
        try:
            yield
        finally:
            unregister_custom_op_symbolic("aten::_upsample_bilinear2d_aa", OPSET)
            logging.disable(former)


def _resize(graph: Any, pictures: Any, size: Any, align: Any, *scales: Any) -> Any:  # noqa: ARG001
    """Antialiased bilinear interpolation, which torch's exporter does not know."""

    def constant(numbers: list[int], kind: torch.dtype = torch.int64) -> Any:
        return graph.op("Constant", value_t=torch.tensor(numbers, dtype=kind))

    kept = graph.op("Slice", graph.op("Shape", pictures), constant([0]), constant([2]))  # batch and channels
    none = constant([], torch.float32)
    return graph.op(
        "Resize",
        pictures,
        none,
        none,
        graph.op("Concat", kept, size, axis_i=0),
        mode_s="linear",
        antialias_i=1,
        coordinate_transformation_mode_s="half_pixel",
    )


def _refuse_missing() -> None:
    """Checks that the libraries are there that write ONNX.

    Raises:
        SamecarError: one is not installed.
    """
    for name in ("onnx", "onnxruntime"):
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            raise missing_library("exporting needs", name, "export") from error
