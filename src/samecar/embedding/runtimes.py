"""What runs a model: torch, which runs the network that was trained, or onnxruntime, which runs an exported file."""

import logging
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from samecar.data.transforms import normalise_transform
from samecar.embedding.exported import ExportFacts, read_facts
from samecar.embedding.foreign import facts_of_foreign, parse_stated
from samecar.errors import SamecarError, missing_library
from samecar.hardware import available_cores, find_device, in_parts
from samecar.models.composite import Network, PlainDescription
from samecar.models.folders import DESCRIPTION_FILE, EXPORTED_FILE, MODEL_FILES, STATED_FILE, TENSORS_FILE
from samecar.models.layers.side_information import refuse_side_information
from samecar.models.saved import parse_description, parse_model, tensors_digest
from samecar.preprocessing import Pixels, Preprocessing

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

logger = logging.getLogger(__name__)

CUDA, PROCESSOR = "CUDAExecutionProvider", "CPUExecutionProvider"
"""What onnxruntime calls an NVIDIA GPU and the processor."""


class Runtime(Protocol):
    """Whatever makes embeddings of pictures in a model's size; it loads its model when that is first needed.

    It may be used from several threads.
    """

    @property
    def digest(self) -> str:
        """Of the model's content; sixteen hexadecimal digits."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pictures are before."""
        ...

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        ...

    @property
    def device(self) -> torch.device | None:
        """Where torch runs it; None where something else does."""
        ...

    @property
    def network(self) -> Network:
        """The network of torch, in evaluation mode.

        Raises:
            SamecarError: the model is damaged, or has none.
        """
        ...

    def load(self) -> None:
        """Loads the model, if that was not done yet.

        Raises:
            SamecarError: it is damaged, or a library is missing.
        """
        ...

    def embed(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embeds one picture or more in one batch; (pictures, size) of length one."""
        ...


def choose_runtime(files: Mapping[str, bytes], device: torch.device | str) -> "TorchRuntime | OnnxRuntime":
    """The runtime of a model's files.

    Args:
        files: content by name: each of `MODEL_FILES`, or `EXPORTED_FILE`, for a model of others with `STATED_FILE`.
        device: where it runs.

    Raises:
        SamecarError: a file is missing, the description is damaged, the model reads side information, or the device is
            not there.
    """
    if EXPORTED_FILE not in files:
        return TorchRuntime(files, device)
    return ForeignRuntime(files, device) if STATED_FILE in files else OnnxRuntime(files, device)


class TorchRuntime:
    """The network that was trained, as it is.

    Args:
        files: content by name, for each of `MODEL_FILES`.
        device: where it runs: auto, cpu, cuda, cuda:N, or a device of torch; auto is the GPU where there is one.

    Raises:
        SamecarError: a file is missing, the description is damaged, the model reads side information, or the device is
            not there.
    """

    def __init__(self, files: Mapping[str, bytes], device: torch.device | str) -> None:
        missing = [name for name in MODEL_FILES if name not in files]
        if missing:
            raise SamecarError(f"the model lacks {missing[0]}; it needs {' and '.join(MODEL_FILES)}")
        self.digest = tensors_digest(files[TENSORS_FILE])
        self._tensors = files[TENSORS_FILE]
        self._description = parse_description(files[DESCRIPTION_FILE])
        if isinstance(self._description, PlainDescription):
            refuse_side_information(self._description.settings, "a gallery, a comparison and the service")
        self._device = find_device(device) if isinstance(device, str) else device
        self._lock = Lock()
        self._network: Network | None = None

    @property
    def network(self) -> Network:
        """The network, in evaluation mode; built when it is first needed.

        Raises:
            SamecarError: the tensors are damaged or of another model.
        """
        with self._lock:
            if self._network is None:
                network = parse_model(self._description, self._tensors)
                network.eval().to(self._device)
                if self._device.type == "cpu":
                    network.to(memory_format=torch.channels_last)  # quicker there, and alike but for rounding
                self._network = network
                self._normalise = normalise_transform(network.preprocessing)
            return self._network

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pictures are before."""
        return self.network.preprocessing

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self.network.embedding_size

    @property
    def device(self) -> torch.device | None:
        """Where it runs."""
        return self._device

    def load(self) -> None:
        """Builds the network, if that was not done yet."""
        _ = self.network

    def embed(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embeds one picture or more in one batch; (pictures, size) of length one."""
        network = self.network

        @torch.inference_mode()
        def embedded(part: Sequence[Pixels]) -> NDArray[np.float32]:
            batch = torch.stack([torch.from_numpy(picture) for picture in part]).to(self._device)
            embeddings: torch.Tensor = functional.normalize(network(self._normalise(batch)).float())
            return embeddings.numpy(force=True)

        # On small tensors the threads of torch cost more than they bring, and take the cores from the model's.
        return np.concatenate(in_parts(embedded, pictures)) if self._device.type == "cpu" else embedded(pictures)


class OnnxRuntime:
    """A file of `samecar export`, which has preprocessing and normalisation inside.

    Args:
        files: content by name, with `EXPORTED_FILE`.
        device: where it runs: cpu; cuda where onnxruntime was built for it; auto takes that or else the processor. A
            device of torch is taken where onnxruntime has it, and else the processor.

    Raises:
        SamecarError: the device is not there.
    """

    def __init__(self, files: Mapping[str, bytes], device: torch.device | str) -> None:
        self.digest = tensors_digest(files[EXPORTED_FILE])
        self._content = files[EXPORTED_FILE]
        self._device = device
        self._lock = Lock()
        self._session: InferenceSession | None = None
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
    def preprocessing(self) -> Preprocessing:
        """What its pictures are before."""
        return self.facts.preprocessing

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self.facts.embedding_size

    @property
    def device(self) -> torch.device | None:
        """None."""
        return None

    @property
    def network(self) -> Network:
        """None is there.

        Raises:
            SamecarError: always.
        """
        raise SamecarError("an exported model has no network of torch; name the run that it was exported from")

    def load(self) -> None:
        """Opens the file, if that was not done yet.

        Raises:
            SamecarError: it is damaged, no file of `samecar export`, or onnxruntime is not installed.
        """
        with self._lock:
            if self._session is None:
                session = open_session(self._content, self._device)
                self._facts = self._read_facts(session)
                self._session = session

    def _read_facts(self, session: "InferenceSession") -> ExportFacts:
        return read_facts(session)

    def embed(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embeds one picture or more in one batch; (pictures, size) of length one."""
        self.load()
        assert self._session is not None
        given = {self._session.get_inputs()[0].name: np.stack(pictures)}
        embeddings: NDArray[np.float32] = self._session.run(None, given)[0]
        return embeddings


class ForeignRuntime(OnnxRuntime):
    """An ONNX model of others, whose preprocessing was stated; what it gives is brought to length one.

    Args:
        files: content by name, with `EXPORTED_FILE` and `STATED_FILE`.
        device: as for `OnnxRuntime`.

    Raises:
        SamecarError: what was stated is damaged.
    """

    def __init__(self, files: Mapping[str, bytes], device: torch.device | str) -> None:
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
        assert self._session is not None
        given = (np.stack(pictures).astype(np.float32) / np.float32(255) - mean) / deviation
        found = self._session.run(None, {self._session.get_inputs()[0].name: given})[0]
        features = found.reshape(len(pictures), -1).astype(np.float32)
        lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.float32(1e-12))
        embeddings: NDArray[np.float32] = features / lengths
        return embeddings


def open_session(content: bytes, device: torch.device | str = "cpu") -> "InferenceSession":
    """Loads an ONNX file.

    Raises:
        SamecarError: it is damaged, the device is not there, or onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing_library("an exported model needs", "onnxruntime", "export") from error
    providers = _find_providers(device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    options.log_severity_level = 3  # errors alone
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # else waiting threads take the cores
    try:
        return onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime raises classes of its own, which share no base
        reason = str(error).partition("\n")[0]
        raise SamecarError(f"the model cannot be read as ONNX: {reason}; export it again") from error


def _find_providers(device: torch.device | str, available: Sequence[str]) -> list[Any]:
    """Where onnxruntime is to run a model, the first choice first; warns where a GPU is there that it cannot use.

    Raises:
        SamecarError: a GPU was asked for that is not there or that onnxruntime cannot use, or the device means nothing.
    """
    found = find_device(device) if isinstance(device, str) else device
    if found.type == "cuda" and CUDA in available:
        return [(CUDA, {"device_id": found.index or 0}), PROCESSOR]
    if found.type == "cuda" and isinstance(device, str) and device != "auto":
        raise SamecarError(
            f"device is {device!r} but the onnxruntime that is installed runs on the processor alone; use auto or cpu, "
            "or install onnxruntime-gpu instead of onnxruntime"
        )
    if found.type == "cuda":
        logger.warning(
            "the exported model runs on the processor: the onnxruntime that is installed cannot use the GPU; for that, "
            "install onnxruntime-gpu instead of onnxruntime"
        )
    return [PROCESSOR]
