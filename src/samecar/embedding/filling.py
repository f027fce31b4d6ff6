"""What embedding a whole set has in common, whatever embeds: pictures come batch by batch, and fill a matrix."""

import time
from collections.abc import Callable, Iterable, Sequence, Sized
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from samecar.data.copies import name_copies
from samecar.data.manifest import Manifest
from samecar.data.picture_batches import PixelBatch, read_batches
from samecar.embedding.embeddings import FLIPPED, Embeddings
from samecar.errors import SamecarError
from samecar.preprocessing import Pixels, Preprocessing
from samecar.progress import Progress, describe_speed

if TYPE_CHECKING:
    import torch

Embed = Callable[[Sequence[Pixels]], NDArray[np.float32]]
"""From pictures in a model's size to embeddings, in one batch."""

Pictures = TypeVar("Pictures", bound=Sized)
"""A batch of pictures, as what embeds them takes it."""


def refuse_empty(manifest: Manifest) -> None:
    """Checks that there is something to embed.

    Raises:
        SamecarError: the manifest is empty.
    """
    if not len(manifest):
        raise SamecarError(f"there is no picture to embed in {manifest.source}:{manifest.root / manifest.file}")


def fill_matrix(
    batches: Iterable[Pictures],
    total: int,
    size: int,
    embedded: Callable[[Pictures, slice], NDArray[np.float32]],
    device: "torch.device | None",
    progress: Progress,
) -> NDArray[np.float32]:
    """The embeddings of all pictures, which come batch by batch; (pictures, size).

    Args:
        batches: of pictures, in order.
        total: how many pictures these are.
        size: numbers in an embedding.
        embedded: embeddings of a batch, of which it is told the rows.
        device: where torch embeds, whose memory is then told; None where something else does.
        progress: is told how far the work is.
    """
    matrix = np.empty((total, size), np.float32)
    done, started = 0, time.perf_counter()
    for pictures in batches:
        rows = slice(done, done + len(pictures))
        matrix[rows] = embedded(pictures, rows)
        done = rows.stop
        progress("embedding", done, total, describe_speed(done, started, device))
    return matrix


def embed_in_batches(
    embed: Embed,
    manifest: Manifest,
    preprocessing: Preprocessing,
    size: int,
    *,
    batch_size: int,
    threads: int,
    flip: bool,
    device: "torch.device | None",
    progress: Progress,
) -> NDArray[np.float32]:
    """The embeddings of a manifest's pictures, which threads read; (pictures, size).

    Args:
        embed: embeds a batch.
        manifest: which pictures.
        preprocessing: what is done to them before.
        size: numbers in an embedding.
        batch_size: pictures in a batch.
        threads: that read; 0 reads in turns with what embeds.
        flip: average each embedding with that of the mirrored picture.
        device: as for `fill_matrix`.
        progress: likewise.
    """

    def embedded(pictures: PixelBatch, _rows: slice) -> NDArray[np.float32]:
        return _embed_both_ways(embed, pictures) if flip else embed(list(pictures))

    with closing(read_batches(manifest, preprocessing, batch_size, threads=threads)) as batches:
        return fill_matrix(batches, len(manifest), size, embedded, device, progress)


def _embed_both_ways(embed: Embed, pictures: PixelBatch) -> NDArray[np.float32]:
    """Means of the embeddings of pictures and of their mirror images; (pictures, size)."""
    mirrored = embed(list(pictures[..., ::-1].copy()))
    mean: NDArray[np.float32] = (embed(list(pictures)) + mirrored) / np.float32(2)
    return mean


def with_rows(
    matrix: NDArray[np.float32], manifest: Manifest, model_digest: str, runtime: str, *, flip: bool
) -> Embeddings:
    """Embeddings of a manifest's pictures, their model, and what ran it; with `flip` means with the mirrored ones'."""
    made_by = model_digest + FLIPPED if flip else model_digest
    return Embeddings(matrix, manifest, made_by, name_copies(manifest), runtime)
