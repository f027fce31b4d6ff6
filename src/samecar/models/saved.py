"""A model on disk: its tensors as safetensors, its description as JSON; nothing is pickled."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from samecar.errors import SamecarError
from samecar.files import write_file, write_json
from samecar.models.composite import Description, Network, describe_model, read_description

DESCRIPTION_FILE = "model.json"
"""What the model is composed of, how many vehicles it was trained on, and how it came about."""

TENSORS_FILE = "model.safetensors"
"""The model's own tensors, the classifier's among them."""


MODEL_FILES = (DESCRIPTION_FILE, TENSORS_FILE)
"""All that a model is made of again."""

RUN_FILE = "run.json"
"""Says that a folder is that of a run, whose model lies in the folder `model` below."""


def save_model(model: Network, folder: Path, **facts: Any) -> None:
    """Writes tensors and description; a model that was there before is replaced only by a whole one."""
    save_described(model, folder, {**facts, **describe_model(model)})


def save_described(model: Network, folder: Path, description: Mapping[str, Any]) -> None:
    """Does what `save_model` does, with a description that holds all that `describe_model` gives."""
    with write_file(folder / TENSORS_FILE) as path:
        save_file(model_tensors(model), path)
    write_json(folder / DESCRIPTION_FILE, description)


def find_model(place: Path) -> Path:
    """The folder of a saved model, which has both of `MODEL_FILES`.

    Args:
        place: a run's folder, the model's own folder, or its model.safetensors.

    Raises:
        SamecarError: there is no model, or the run has not ended.
    """
    wanted = f"give a run folder, a folder with {' and '.join(MODEL_FILES)}, or that {TENSORS_FILE}"
    if (place / RUN_FILE).is_file():
        refuse_unfinished(place)
        folder = place / "model"
    elif place.is_dir():
        folder = place
    elif place.is_file() and place.name == TENSORS_FILE:
        folder = place.parent
    elif place.exists():
        raise SamecarError(f"{place} is no {TENSORS_FILE}; {wanted}")
    else:
        raise SamecarError(f"{place} is not there; {wanted}")
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if len(missing) == len(MODEL_FILES):
        raise SamecarError(f"folder {folder} holds no model; {wanted}")
    if missing:
        raise SamecarError(f"the model in {folder} lacks {missing[0]}; put back the one that was saved with it")
    return folder


def parse_description(content: bytes) -> Description:
    """Reads the content of a model's description.

    Raises:
        SamecarError: it is damaged.
    """
    try:
        return read_description(json.loads(content))
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise SamecarError(f"{DESCRIPTION_FILE} is no description of a model: {error}") from error


def parse_model(description: Description, content: bytes) -> Network:
    """Builds a model of its description and of the content of its tensors' file.

    Raises:
        SamecarError: the tensors are damaged or of another model.
    """
    model = description.build()
    try:
        tensors = read_tensors(content)
    except SafetensorError as error:
        raise SamecarError(f"{TENSORS_FILE} cannot be read: {error}; take the model from its run again") from error
    fill_model(model, tensors, TENSORS_FILE)
    return model


def refuse_unfinished(run: Path, name: str = "model") -> None:
    """Checks that there is a saved model in a run's folder.

    Raises:
        SamecarError: the run has not ended.
    """
    if not (run / name / TENSORS_FILE).is_file():
        raise SamecarError(f"{run} has no trained model yet; finish it with `samecar train … --resume`")


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """A module's own tensors by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def tensors_digest(content: bytes) -> str:
    """Sixteen hexadecimal digits of a tensors file: what says which model made an embedding."""
    return hashlib.sha256(content).hexdigest()[:16]


def load_model_tensors(model: nn.Module, path: Path) -> None:
    """Loads a module's own tensors, each of which must be there.

    Raises:
        SamecarError: the file is absent, damaged, or belongs to another model.
    """
    fill_model(model, load_tensors(path), str(path))


def fill_model(model: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Puts tensors into a module, each of which must be there; `name` stands in the error's sentence.

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
