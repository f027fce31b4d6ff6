"""Exported files that OpenVINO runs, on processors whose matrix units it makes use of."""

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from samecar.embedding.exported import Precision
from samecar.errors import SamecarError, missing_library
from samecar.hardware import available_cores

if TYPE_CHECKING:
    import torch

HINTS: Final[dict[Precision, str]] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""Numbers that OpenVINO is told to compute with: on a processor that has bfloat16 it takes that where nothing is said.

Of int8 these are the layers that were not quantised.
"""

CONVERTER: Final = "openvino.tools.ovc"


def compile_model(content: bytes, precision: Precision) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Readies an exported ONNX file for this processor, which takes a second or two.

    Args:
        content: of the file.
        precision: numbers that its layers compute with.

    Returns:
        From pictures, uint8 (batch, 3, height, width), to embeddings, (batch, size); from several threads at a time, if
        need be.

    Raises:
        SamecarError: OpenVINO is not installed, cannot read the file, or the processor has no bfloat16 where the file
            asks for it.
    """
    core = _open_core(_import_runtime())
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise SamecarError(
            "the model was exported with precision bf16, which this processor does not compute with; export it with "
            "fp32 or int8"
        )
    options = {"INFERENCE_PRECISION_HINT": HINTS[precision], "INFERENCE_NUM_THREADS": available_cores()}
    try:
        compiled = core.compile_model(core.read_model(content), "CPU", options)
    except RuntimeError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise SamecarError(f"OpenVINO cannot run the model: {reason}; export it with format onnx") from error

    def embed(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        (embeddings,) = compiled.create_infer_request().infer({0: pictures}, share_inputs=True).values()
        return np.array(embeddings, np.float32)

    return embed


def _import_runtime() -> Any:
    """Imports OpenVINO without its converter of models, which takes as long again and can report to its makers.

    Raises:
        SamecarError: it is not installed.
    """
    hidden = "openvino" not in sys.modules
    if hidden:
        sys.modules[CONVERTER] = None  # type: ignore[assignment] # so that OpenVINO goes on without it
    try:
        return import_module("openvino")
    except ModuleNotFoundError as error:
        raise missing_library("the model was exported for", "OpenVINO", "openvino") from error
    finally:
        if hidden:
            del sys.modules[CONVERTER]


@cache
def _open_core(runtime: Any) -> Any:
    """OpenVINO itself, once for the process and to its end.

    On a processor with tiles (AMX) it gives the thread another stack for signals. Of several, the one that is let go
    first takes away the memory that another one puts back as that stack, and the next signal ends the process.
    """
    return runtime.Core()


def refuse_device(device: "torch.device | str") -> None:
    """Checks where a model is to run: OpenVINO runs it on the processor.

    Raises:
        SamecarError: somewhere else was asked for.
    """
    if str(device) not in ("auto", "cpu") and isinstance(device, str):
        raise SamecarError(f"device is {device!r} but the model was exported for OpenVINO on the processor; use auto")
