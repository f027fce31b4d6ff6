"""Exported files, and ONNX models of others, which onnxruntime runs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samecar.embedding.exported import ExportFacts, Precision, read_facts
from samecar.embedding.foreign import facts_of_foreign, parse_stated
from samecar.errors import SamecarError, missing_library
from samecar.hardware import available_cores, check_device, has_gpu_driver, release_freed_memory
from samecar.models.folders import EXPORTED_FILE, STATED_FILE, tensors_digest
from samecar.preprocessing import Pixels, Preprocessing

if TYPE_CHECKING:
    import torch
    from onnxruntime import InferenceSession

    from samecar.models.composite import Network

logger = logging.getLogger(__name__)

Run = Callable[[NDArray[Any]], NDArray[Any]]
"""From a batch of pictures, (batch, 3, height, width), to what the network gives."""

CUDA, PROCESSOR = "CUDAExecutionProvider", "CPUExecutionProvider"
"""What onnxruntime calls an NVIDIA GPU and the processor."""

NUMBERS: Mapping[Precision, str] = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}
"""What the layers of a file compute with, by its precision."""


class OnnxRuntime:
    """A file of `samecar export`, which has preprocessing and normalisation inside; OpenVINO runs it if it says so.

    Args:
        files: content by name, with `EXPORTED_FILE`.
        device: where it runs: cpu; cuda where onnxruntime was built for it; auto takes that or else the processor. A
            device of torch is taken where onnxruntime has it, and else the processor.

    Raises:
        SamecarError: the device is not there.
    """

    def __init__(self, files: Mapping[str, bytes], device: "torch.device | str") -> None:
        self.digest = tensors_digest(files[EXPORTED_FILE])
        self._content = files[EXPORTED_FILE]
        self._device = device
        self._lock = Lock()
        self._run: Run | None = None
        self._facts: ExportFacts | None = None

    @property
    def facts(self) -> ExportFacts:
        """What the file says of itself.

        Raises:
            SamecarError: it is damaged, or no file of `samecar export`.
        """
        self.load()
        assert self._facts is not None
        return self._facts

    @property
    def name(self) -> str:
        """Such as "onnxruntime, int8"."""
        return f"{self.facts.runner}, {NUMBERS[self.facts.precision]}"

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pictures are before."""
        return self.facts.preprocessing

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self.facts.embedding_size

    @property
    def device(self) -> "torch.device | None":
        """None."""
        return None

    @property
    def network(self) -> "Network":
        """None is there.

        Raises:
            SamecarError: always.
        """
        raise SamecarError("an exported model has no network of torch; name the run that it was exported from")

    def load(self) -> None:
        """Opens the file, if that was not done yet.

        Raises:
            SamecarError: it is damaged, no file of `samecar export`, or what runs it is not installed.
        """
        with self._lock:
            if self._run is None:
                session = open_session(self._content, self._device)
                facts = self._read_facts(session)
                if facts.runner == "openvino":
                    from samecar.embedding.runtimes.openvino import compile_model, refuse_device

                    refuse_device(self._device)
                    del session
                    self._run = compile_model(self._content, facts.precision)
                else:
                    self._run = _run_by(session)
                self._facts = facts
                release_freed_memory()  # loading takes some times the file's size for a moment

    def quicken(self) -> None:
        """Opens the file, if that was not done yet; there is no quicker way."""
        self.load()

    def _read_facts(self, session: "InferenceSession") -> ExportFacts:
        return read_facts(session)

    def embed(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embeds one picture or more in one batch; (pictures, size) of length one."""
        self.load()
        assert self._run is not None
        return self._run(np.stack(pictures))


class ForeignRuntime(OnnxRuntime):
    """An ONNX model of others, whose preprocessing was stated; what it gives is brought to length one.

    Args:
        files: content by name, with `EXPORTED_FILE` and `STATED_FILE`.
        device: as for `OnnxRuntime`.

    Raises:
        SamecarError: what was stated is damaged.
    """

    def __init__(self, files: Mapping[str, bytes], device: "torch.device | str") -> None:
        super().__init__(files, device)
        self.digest = tensors_digest(files[EXPORTED_FILE] + files[STATED_FILE])
        self._stated = parse_stated(files[STATED_FILE])

    def _read_facts(self, session: "InferenceSession") -> ExportFacts:
        return facts_of_foreign(session, self._stated, tensors_digest(self._content))

    def embed(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embeds one picture or more in one batch; (pictures, size) of length one."""
        self.load()
        mean, deviation = (
            np.array(values, np.float32)[:, None, None] for values in (self._stated.mean, self._stated.deviation)
        )
        assert self._run is not None
        found = self._run((np.stack(pictures).astype(np.float32) / np.float32(255) - mean) / deviation)
        features = found.reshape(len(pictures), -1).astype(np.float32)
        lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.float32(1e-12))
        return np.asarray(features / lengths, np.float32)


def _run_by(session: "InferenceSession") -> Run:
    (taken,) = session.get_inputs()

    def run(pictures: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = session.run(None, {taken.name: pictures})[0]
        return found

    return run


def open_session(content: bytes, device: "torch.device | str" = "cpu") -> "InferenceSession":
    """Loads an ONNX file.

    Raises:
        SamecarError: it is damaged, the device is not there, or onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing_library("an exported model needs", "onnxruntime", None) from error
    providers = _find_providers(device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    options.log_severity_level = 3  # errors alone
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # else waiting threads take the cores
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime raises classes of its own, which share no base
        reason = str(error).partition("\n")[0]
        raise SamecarError(f"the model cannot be read as ONNX: {reason}; export it again") from error
    if str(device).startswith("cuda") and providers[0] != PROCESSOR and CUDA not in session.get_providers():
        raise SamecarError(f"device is {str(device)!r} but onnxruntime finds no such GPU here; use auto or cpu")
    return session


def _find_providers(device: "torch.device | str", available: Sequence[str]) -> list[Any]:
    """Where onnxruntime is to run a model, the first choice first; warns where a GPU is there that it cannot use.

    Raises:
        SamecarError: a GPU was asked for that onnxruntime cannot use, or the device means nothing.
    """
    name = check_device(str(device))
    kind, _, number = name.partition(":")
    if kind != "cpu" and CUDA in available:
        return [(CUDA, {"device_id": int(number or 0)}), PROCESSOR]
    if kind == "cuda" and isinstance(device, str):
        raise SamecarError(
            f"device is {device!r} but the onnxruntime that is installed runs on the processor alone; use auto or cpu, "
            "or install onnxruntime-gpu instead of onnxruntime"
        )
    if kind == "cuda" or (kind == "auto" and has_gpu_driver()):
        logger.warning(
            "the exported model runs on the processor: the onnxruntime that is installed cannot use the GPU; for that, "
            "install onnxruntime-gpu instead of onnxruntime"
        )
    return [PROCESSOR]
