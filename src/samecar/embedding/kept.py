"""Embeddings of whole sets, kept beside their model, so that scores, calibration and figures embed a set once."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from samecar.data.copies import name_copies, read_digests
from samecar.data.manifest import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.files import make_folder, write_file
from samecar.hardware import available_cores
from samecar.progress import Progress
from samecar.similarity.products import Matrix

logger = logging.getLogger(__name__)

KEPT_FOLDER: Final = "embeddings"
"""Of a run's folder."""

MOST_BYTES: Final = 2**30
"""Of all that is kept of one model; the sets that were not asked for longest go first."""


def embed_once(
    manifest: Manifest,
    identity: str,
    embed: Callable[[Manifest, Progress], Embeddings],
    folder: Path,
    progress: Progress,
) -> Embeddings:
    """Embeds a set, or reads its embeddings where they are kept already.

    They are found by the bytes of the pictures, in order, and by what embeds them; paths and labels change nothing.

    Args:
        manifest: which pictures.
        identity: of all else that decides an embedding: model, preprocessing, and what runs it.
        embed: embeds the pictures.
        folder: keeps them; made if it is not there. A folder that cannot be written keeps nothing, with a warning.
        progress: is told how far the work is.

    Raises:
        SamecarError: as `embed` does.
    """
    key = _identify(manifest, identity)
    if key is None:
        return embed(manifest, progress)
    path = folder / f"{key}.npz"
    kept = _read(path, len(manifest))
    if kept is not None:
        matrix, model, runtime = kept
        progress("embedding", len(manifest), len(manifest), "kept from before")
        return Embeddings(matrix, manifest, model, name_copies(manifest), runtime)
    embeddings = embed(manifest, progress)
    if embeddings.matrix.nbytes <= MOST_BYTES:
        try:
            _write(path, embeddings)
        except (OSError, SamecarError) as error:
            logger.warning("%s does not keep the embeddings, which are made anew each time: %s", folder, error)
    return embeddings


def _identify(manifest: Manifest, identity: str) -> str | None:
    """Hexadecimal digits that change with any picture; None if one cannot be read, as whoever embeds it will say."""
    contents = read_digests(manifest, available_cores())
    told = [content for content in contents if content is not None]
    return hashlib.sha256(" ".join([identity, *told]).encode()).hexdigest()[:32] if told == contents else None


def _read(path: Path, rows: int) -> tuple[Matrix, str, str] | None:
    """Embeddings, their model and what ran it; None if they are not there, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as content:
            matrix = content["embeddings"]
            facts = str(content["model"]), str(content["runtime"])
        path.touch()  # was asked for just now
    except FileNotFoundError:
        return None
    except Exception as error:  # what numpy raises depends on how the file is damaged
        logger.warning("%s is damaged and made anew: %s", path, error)
        return None
    return (matrix, *facts) if matrix.ndim == 2 and len(matrix) == rows else None


def _write(path: Path, embeddings: Embeddings) -> None:
    make_folder(path.parent)
    with write_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            embeddings=embeddings.matrix,
            model=np.array(embeddings.model),
            runtime=np.array(embeddings.runtime),
        )
    newest_first = sorted(path.parent.glob("*.npz"), key=lambda kept: kept.stat().st_mtime, reverse=True)
    total = 0
    for kept in newest_first:
        total += kept.stat().st_size
        if total > MOST_BYTES and kept != path:
            kept.unlink(missing_ok=True)
