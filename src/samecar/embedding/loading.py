"""Models from anywhere: a run, a folder, an exported file, or a repository of the Hugging Face hub."""

import os
import re
from pathlib import Path

from samecar.embedding.encoder import Encoder
from samecar.errors import SamecarError, naming_extra
from samecar.files import as_text
from samecar.models.folders import EXPORTED_FILE, MODEL_FILES, stated_beside

HUB = "hf-hub:"
"""Begins a source that names a repository of the hub."""

PUBLISHED_FILES = (*MODEL_FILES, EXPORTED_FILE, stated_beside(Path(EXPORTED_FILE)).name)
"""What is fetched of a repository: nothing that can run code."""

_REPOSITORY = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def load(source: str | os.PathLike[str], *, device: str = "auto") -> Encoder:
    """Opens a model to embed pictures with, wherever it is.

        >>> model = samecar.load("first.onnx")
        >>> model.embed([read_picture(Path("car.jpg"))]).shape
        (1, 512)

    Args:
        source: a run, fused or reduced model, its folder, a folder of `samecar publish`, an exported file, or
            'hf-hub:ORGANISATION/NAME', with '@REVISION' behind it for a branch, tag or commit. What was fetched from
            the hub once is kept in its cache; it is asked for news each time unless HF_HUB_OFFLINE is set.
        device: where it runs: auto, cpu, cuda or cuda:N; auto is the GPU where there is one.

    Raises:
        SamecarError: there is no model, or the hub does not give it.
    """
    name = as_text(source, "model", "a path, or hf-hub:ORGANISATION/NAME")
    if not name.startswith(HUB):
        return Encoder.open(source, device=device)
    folder = _fetch(name)
    if not any((folder / file).is_file() for file in PUBLISHED_FILES):
        raise SamecarError(
            f"{name} holds no model of samecar; it needs {' and '.join(MODEL_FILES)}, or {EXPORTED_FILE}"
        )
    return Encoder.open(folder, device=device)


def _fetch(source: str) -> Path:
    """The folder of a repository's files in the hub's cache, fetched if they are not there.

    Raises:
        SamecarError: the source names no repository, or the hub does not give it.
    """
    found = _REPOSITORY.fullmatch(source.removeprefix(HUB))
    if found is None:
        raise SamecarError(
            f"source {source!r} names no repository; write {HUB}ORGANISATION/NAME, and @REVISION behind it for "
            "another state than the newest"
        )
    with naming_extra("a repository of the hub needs"):
        import huggingface_hub
        from huggingface_hub import constants, errors

    endpoint = constants.ENDPOINT
    try:
        folder = huggingface_hub.snapshot_download(
            found["name"], revision=found["revision"], allow_patterns=list(PUBLISHED_FILES)
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise SamecarError(
            f"{source} is not on {endpoint}, or not for you to read; look at its name, or log in with `hf auth login`"
        ) from error
    except (errors.HfHubHTTPError, OSError, ValueError) as error:
        if huggingface_hub.is_offline_mode():
            mending = "HF_HUB_OFFLINE keeps this machine from fetching it; unset it, or fetch the model elsewhere"
        else:
            mending = f"{endpoint} does not give it ({type(error.__cause__ or error).__name__}); try again later"
        raise SamecarError(f"{source} is not in the hub's cache, and {mending}") from error
    return Path(folder)
