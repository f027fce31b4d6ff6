"""Which runtime runs a model: its files say it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from samecar.embedding.runtimes.runtime import Runtime
from samecar.errors import naming_extra
from samecar.models.folders import EXPORTED_FILE, STATED_FILE

if TYPE_CHECKING:
    import torch


def choose_runtime(files: Mapping[str, bytes], device: "torch.device | str") -> Runtime:
    """The runtime of a model's files.

    Args:
        files: content by name: each of `MODEL_FILES`, or `EXPORTED_FILE`, for a model of others with `STATED_FILE`.
        device: where it runs.

    Raises:
        SamecarError: a file is missing, the description is damaged, the model reads side information, the device is
            not there, or torch is not installed and the model is no exported one.
    """
    if EXPORTED_FILE not in files:
        with naming_extra("a model that is not exported needs"):
            from samecar.embedding.runtimes.torch import TorchRuntime

        return TorchRuntime(files, device)
    from samecar.embedding.runtimes.onnx import ForeignRuntime, OnnxRuntime

    return ForeignRuntime(files, device) if STATED_FILE in files else OnnxRuntime(files, device)
