"""The network that was trained, run by torch."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from samecar.data.transforms import normalise_transform
from samecar.errors import SamecarError
from samecar.hardware import find_device, in_parts
from samecar.models.composite import Network, PlainDescription
from samecar.models.folders import DESCRIPTION_FILE, MODEL_FILES, TENSORS_FILE, tensors_digest
from samecar.models.layers.side_information import refuse_side_information
from samecar.models.saved import parse_description, parse_model
from samecar.preprocessing import Pixels, Preprocessing

if TYPE_CHECKING:
    from samecar.embedding.runtimes.quickening import Way

AS_IT_IS = "torch, float32"
"""How a trained network is run unless a quicker way was asked for: what all others are held against."""


def name_reference(device: torch.device) -> str:
    """What runs a trained network on a device as it is, and the numbers that it computes with there."""
    if device.type != "cuda":
        return AS_IT_IS
    tf32 = torch.backends.cudnn.allow_tf32  # which it does unless told otherwise; float32 rounded to 10 bits
    return f"{AS_IT_IS} on {device.type}" + (", convolutions in TF32" if tf32 else "")


class TorchRuntime:
    """The network that was trained: as it is, or, once that was asked for, by a quicker way that agrees with it.

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
        self._quickening = Lock()
        self._quickened = False
        self._quickest: Way | None = None

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
    def name(self) -> str:
        """What runs it at present, and the numbers that it computes with."""
        quickest = self._quickest
        return name_reference(self._device) if quickest is None else quickest.name

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

    def quicken(self) -> None:
        """Has the quickest way that agrees take over from torch as it is, if it runs on the processor."""
        with self._quickening:
            if not self._quickened and self._device.type == "cpu":
                from samecar.embedding.runtimes.quickening import find_quickest

                self._quickest = find_quickest(self.network, self._embed_as_it_is)
            self._quickened = True

    def embed(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embeds one picture or more in one batch; (pictures, size) of length one."""
        quickest = self._quickest
        return self._embed_as_it_is(pictures) if quickest is None else quickest.embed(pictures)

    def _embed_as_it_is(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        network = self.network

        @torch.inference_mode()
        def embedded(part: Sequence[Pixels]) -> NDArray[np.float32]:
            batch = torch.stack([torch.from_numpy(picture) for picture in part]).to(self._device)
            embeddings: torch.Tensor = functional.normalize(network(self._normalise(batch)).float())
            return embeddings.numpy(force=True)

        # On small tensors the threads of torch cost more than they bring, and take the cores from the model's.
        return np.concatenate(in_parts(embedded, pictures)) if self._device.type == "cpu" else embedded(pictures)
