"""A model on disk: its tensors as safetensors, its description as JSON; nothing is pickled."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from samecar.errors import SamecarError
from samecar.files import write_json, written_file
from samecar.models.embedder import Embedder

DESCRIPTION_FILE = "model.json"
"""What the model is composed of, how many vehicles it was trained on, and how it came about."""

TENSORS_FILE = "model.safetensors"
"""The model's own tensors, the classifier's among them."""


MODEL_FILES = (DESCRIPTION_FILE, TENSORS_FILE)
"""All that a model is made of again."""


def save_model(model: Embedder, folder: Path, **facts: Any) -> None:
    """Writes tensors and description; a model that was there before is replaced only by a whole one."""
    with written_file(folder / TENSORS_FILE) as path:
        save_file(model_tensors(model), path)
    write_json(
        folder / DESCRIPTION_FILE,
        {**facts, "model": model.settings.model_dump(mode="json"), "vehicles": model.vehicles},
    )


def model_tensors(model: Embedder) -> dict[str, Tensor]:
    """A model's own tensors by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def tensors_digest(content: bytes) -> str:
    """Sixteen hexadecimal digits of a tensors file: what says which model made an embedding."""
    return hashlib.sha256(content).hexdigest()[:16]


def load_model_tensors(model: Embedder, path: Path) -> None:
    """Loads a model's own tensors, each of which must be there.

    Raises:
        SamecarError: the file is absent, damaged, or belongs to another model.
    """
    fill_model(model, load_tensors(path), str(path))


def fill_model(model: Embedder, tensors: Mapping[str, Tensor], name: str) -> None:
    """Puts tensors into a model, each of which must be there; `name` stands in the error's sentence.

    Raises:
        SamecarError: the tensors belong to another model.
    """
    expected = model.state_dict()
    wrong = sorted(expected.keys() ^ tensors.keys()) or sorted(
        name for name, tensor in expected.items() if tensor.shape != tensors[name].shape
    )
    if wrong:
        raise SamecarError(f"{name} belongs to another model: {len(wrong)} tensors differ, first {wrong[0]}")
    model.load_state_dict(tensors)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file onto the CPU, wherever it was written.

    Raises:
        SamecarError: the file is absent or damaged.
    """
    try:
        return load_file(path, device="cpu")
    except (OSError, SafetensorError) as error:
        raise SamecarError(f"{path} cannot be read: {error}; resume from another checkpoint or train again") from error
