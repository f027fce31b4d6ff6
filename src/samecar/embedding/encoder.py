"""The model inside a gallery: pictures to embeddings of length one."""

import json
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from torch.nn import functional

from samecar.config import ModelSettings
from samecar.data.transforms import PictureTransform, TensorTransform, normalising, resizing
from samecar.errors import SamecarError
from samecar.hardware import find_device, in_parts
from samecar.models import Embedder, build_embedder
from samecar.models.saved import DESCRIPTION_FILE, MODEL_FILES, TENSORS_FILE, fill_model, tensors_digest


class _Ready(NamedTuple):
    """A model that was built, and what happens to a picture before: first one by one, then to a batch."""

    embedder: Embedder  # in evaluation mode
    resize: PictureTransform
    normalise: TensorTransform


class BoundModel:
    """A model that a gallery is bound to; built when it is first needed. It may be used from several threads.

    Args:
        files: content by name, for each of `samecar.models.saved.MODEL_FILES`.
        device: where it runs; by default the GPU where there is one.

    Attributes:
        files: what it was made of.
        digest: of its tensors; two models with the same digest give the same embeddings.

    Raises:
        SamecarError: a file is missing, or the description is damaged.
    """

    def __init__(self, files: Mapping[str, bytes], device: torch.device | None = None) -> None:
        missing = [name for name in MODEL_FILES if name not in files]
        if missing:
            raise SamecarError(f"the model lacks {missing[0]}; it needs {' and '.join(MODEL_FILES)}")
        self.files = dict(files)
        self.digest = tensors_digest(files[TENSORS_FILE])
        self._settings, self._vehicles = _described(files[DESCRIPTION_FILE])
        self._device = device
        self._lock = Lock()
        self._ready: _Ready | None = None

    @property
    def height(self) -> int:
        """Of the pictures that it sees, in pixels."""
        return self._settings.height

    @property
    def width(self) -> int:
        """Of the pictures that it sees, in pixels."""
        return self._settings.width

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Height and width below which a picture is not decoded; twice its own leaves resizing something to do."""
        return 2 * self.height, 2 * self.width

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        return self.load().embedder.embedding_size

    def load(self) -> "_Ready":
        """Builds the model, if that was not done yet.

        Raises:
            SamecarError: the tensors are damaged or of another model, or the device is not there.
        """
        with self._lock:
            if self._ready is None:
                self._ready = self._built()
            return self._ready

    def _built(self) -> "_Ready":
        model = build_embedder(self._settings, self._vehicles, load_weights=False)
        try:
            tensors = read_tensors(self.files[TENSORS_FILE])
        except SafetensorError as error:
            raise SamecarError(f"{TENSORS_FILE} cannot be read: {error}; take the model from its run again") from error
        fill_model(model, tensors, TENSORS_FILE)
        device = self._device or find_device()
        model.eval().to(device)
        if device.type == "cpu":
            model.to(memory_format=torch.channels_last)  # quicker there, and alike but for rounding
        return _Ready(model, resizing(model.height, model.width), normalising(model.mean, model.deviation))

    def prepare(self, picture: Image.Image) -> torch.Tensor:
        """A picture in the model's size, uint8 (3, height, width); for `embed_prepared`, in a thread of one's own.

        What is left to do is quicker for a batch: on small tensors the threads of torch cost more than they bring, and
        take the cores from the model's.
        """
        return self.load().resize(picture)

    def embed(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Embeds upright RGB pictures in one batch; (pictures, size) float32 of length one.

        A picture's embedding does not depend on what else is in the batch, but for rounding.
        """
        return self.embed_prepared([self.prepare(picture) for picture in pictures])

    def embed_prepared(self, pictures: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Embeds what `prepare` made, in one batch; (pictures, size) float32 of length one."""
        model, _, normalise = self.load()
        device = next(model.parameters()).device

        def embedded(part: Sequence[torch.Tensor]) -> NDArray[np.float32]:
            with torch.inference_mode():
                batch = normalise(torch.stack(list(part)).to(device))  # (pictures, 3, height, width)
                embeddings: NDArray[np.float32] = functional.normalize(model(batch).float()).cpu().numpy()
            return embeddings

        if not pictures:
            return np.empty((0, model.embedding_size), np.float32)
        return np.concatenate(in_parts(embedded, pictures)) if device.type == "cpu" else embedded(pictures)


def _described(content: bytes) -> tuple[ModelSettings, int]:
    try:
        description = json.loads(content)
        return ModelSettings.model_validate(description["model"]), int(description["vehicles"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise SamecarError(f"{DESCRIPTION_FILE} is no description of a model: {error}") from error
