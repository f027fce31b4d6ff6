"""A model on disk: its tensors as safetensors, its description as JSON; nothing is pickled."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from samecar.errors import SamecarError
from samecar.files import parse_json, write_file, write_json
from samecar.models.building import no_larger_than
from samecar.models.composite import Description, Network, describe_model, read_description
from samecar.models.folders import DESCRIPTION_FILE as DESCRIPTION_FILE
from samecar.models.folders import MODEL_FILES as MODEL_FILES
from samecar.models.folders import RUN_FILE as RUN_FILE
from samecar.models.folders import TENSORS_FILE as TENSORS_FILE
from samecar.models.folders import find_model as find_model
from samecar.models.folders import refuse_unfinished as refuse_unfinished
from samecar.models.folders import tensors_digest as tensors_digest


def save_model(model: Network, folder: Path, **facts: Any) -> None:
    """Writes tensors and description; a model that was there before is replaced only by a whole one."""
    save_described(model, folder, {**facts, **describe_model(model)})


def save_described(model: Network, folder: Path, description: Mapping[str, Any]) -> None:
    """Does what `save_model` does, with a description that holds all that `describe_model` gives."""
    with write_file(folder / TENSORS_FILE) as path:
        save_tensors(model_tensors(model), path)
    write_json(folder / DESCRIPTION_FILE, description)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors as a safetensors file.

    Raises:
        OSError: the system cannot write it.
    """
    try:
        save_file(dict(tensors), path, metadata=dict(metadata) if metadata else None)
    except SafetensorError as error:  # whose text ends in the system's number
        told = re.search(r"\(os error (\d+)\)$", str(error))
        if told is None:
            raise
        raise OSError(int(told[1]), os.strerror(int(told[1])), str(path)) from error


def parse_description(content: bytes) -> Description:
    """Reads the content of a model's description.

    Raises:
        SamecarError: it is damaged.
    """
    try:
        return read_description(parse_json(content))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = str(error).splitlines()[0] if isinstance(error, ValueError) else repr(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise SamecarError(f"{DESCRIPTION_FILE} is no description of a model: {reason}") from error


def parse_model(description: Description, content: bytes) -> Network:
    """Builds a model of its description and of the content of its tensors' file.

    Raises:
        SamecarError: the tensors are damaged or of another model.
    """
    try:
        tensors = read_tensors(content)
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise SamecarError(f"{TENSORS_FILE} cannot be read: {error}; take the model from its run again") from error
    with no_larger_than(sum(tensor.numel() for tensor in tensors.values())):
        model = description.build()
    fill_model(model, tensors, TENSORS_FILE)
    return model


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """A module's own tensors by name, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


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
        name
        for name, tensor in expected.items()
        if (tensor.shape, tensor.dtype) != (tensors[name].shape, tensors[name].dtype)
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
