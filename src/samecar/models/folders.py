"""Where the files of a saved model lie, and what tells one from another."""

import hashlib
from pathlib import Path

from samecar.errors import SamecarError

DESCRIPTION_FILE = "model.json"
"""What the model is composed of, how many vehicles it was trained on, and how it came about."""

TENSORS_FILE = "model.safetensors"
"""The model's own tensors, the classifier's among them."""


MODEL_FILES = (DESCRIPTION_FILE, TENSORS_FILE)
"""All that a model is made of again."""

EXPORTED_FILE = "model.onnx"
"""An exported model, as a gallery keeps it; as a file of the user's it has any name with this ending."""

EXPORTED_SUFFIX = ".onnx"
"""Ends the name of an exported model."""

STATED_FILE = "preprocessing.json"
"""How an ONNX model of others takes pictures, as a gallery keeps it; see `stated_beside`."""

KEPT_FILES = (*MODEL_FILES, EXPORTED_FILE, STATED_FILE)
"""Whatever a gallery may keep of its model."""

RUN_FILE = "run.json"
"""Says that a folder is that of a run, whose model lies in the folder `model` below."""


def stated_beside(path: Path) -> Path:
    """Where it is remembered how an ONNX model of others takes pictures."""
    return path.with_name(f"{path.name}.json")


def is_exported(path: Path) -> bool:
    """Whether a path is named as an exported model is."""
    return path.suffix == EXPORTED_SUFFIX


def holds_model(place: Path) -> bool:
    """Whether a folder is that of a run or of a saved model."""
    return any((place / name).is_file() for name in (RUN_FILE, DESCRIPTION_FILE))


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


def refuse_unfinished(run: Path, name: str = "model") -> None:
    """Checks that there is a saved model in a run's folder.

    Raises:
        SamecarError: the run has not ended.
    """
    if not (run / name / TENSORS_FILE).is_file():
        raise SamecarError(f"{run} has no trained model yet; finish it with `samecar train … --resume`")


def tensors_digest(content: bytes) -> str:
    """Sixteen hexadecimal digits of a file of tensors or an exported model: what says which model made embeddings."""
    return hashlib.sha256(content).hexdigest()[:16]
