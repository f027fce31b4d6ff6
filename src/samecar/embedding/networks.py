"""Embedding a set with a network of torch, as it gives embeddings: for training, and for scores of a trained run."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from samecar.data import Delivery, Manifest, evaluation_loader, known_numbers
from samecar.embedding.embeddings import NOT_STATED, Embeddings
from samecar.embedding.exporting import Exported
from samecar.embedding.filling import embed_in_batches, fill_matrix, refuse_empty, with_rows
from samecar.embedding.runtimes.quickening import Way, find_quickest, stack_pictures
from samecar.embedding.runtimes.torch import name_reference
from samecar.models import Embedder
from samecar.models.composite import Network
from samecar.models.layers.side_information import Side
from samecar.preprocessing import Pixels
from samecar.progress import Progress, silent


def embed(
    model: Network,
    manifest: Manifest,
    *,
    model_digest: str = NOT_STATED,
    batch_size: int = 64,
    workers: int = 0,
    flip: bool = False,
    progress: Progress = silent,
    way: Way | None = None,
) -> Embeddings:
    """Embeds every picture of a manifest, in its order, as the network gives them: not brought to length one.

    The model is used where it is and in evaluation mode, and left in the mode in which it was. With `flip` an embedding
    is the mean of those of the picture and of its mirror image; the pictures themselves are not written to. A quicker
    way, such as `find_way` gives, is taken instead of the model where there is one.

    Raises:
        SamecarError: the manifest is empty, or a picture cannot be read.
    """
    refuse_empty(manifest)
    if way is not None:
        matrix = embed_in_batches(
            way.embed,
            manifest,
            model.preprocessing,
            model.embedding_size,
            batch_size=batch_size,
            threads=workers,
            flip=flip,
            device=None,
            progress=progress,
        )
        return with_rows(matrix, manifest, model_digest, name_runtime(model, way), flip=flip)
    loader = evaluation_loader(manifest, model.preprocessing, batch_size, workers, Delivery(_device_of(model)))
    side = _side_information(model, manifest)

    def embedded(pictures: torch.Tensor, rows: slice) -> NDArray[np.float32]:
        told = None if side is None else (side[0][rows], side[1][rows])
        embeddings: NDArray[np.float32] = _embed_batch(model, pictures, told, flip=flip).numpy(force=True)
        return embeddings

    was_training = model.training
    model.eval()
    try:
        matrix = fill_matrix(loader, len(manifest), model.embedding_size, embedded, _device_of(model), progress)
    finally:
        model.train(was_training)
    return with_rows(matrix, manifest, model_digest, name_runtime(model, way), flip=flip)


def name_runtime(model: Network, way: Way | None) -> str:
    """What runs a network, where it is or by a quicker way, and the numbers that it computes with."""
    return name_reference(_device_of(model)) if way is None else way.name


def find_way(model: Network) -> Way | None:
    """The quickest way to embed with a network that agrees with it; None if there is no other.

    Only a network on the processor has one, and none that is told cameras or views.
    """
    tells = isinstance(model, Embedder) and model.settings.side_information != "none"
    if tells or _device_of(model).type != "cpu":
        return None

    @torch.inference_mode()
    def as_it_is(pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = Exported(model, unit_length=False)(stack_pictures(pictures)).numpy()
        return embeddings

    return find_quickest(model, as_it_is, unit_length=False)


@torch.inference_mode()
def _embed_batch(
    model: Network, pictures: torch.Tensor, side: Side | None = None, *, flip: bool = False
) -> torch.Tensor:
    """Embeddings of a batch as the network gives them, (batch, size) float32, where the model is.

    Args:
        model: in evaluation mode.
        pictures: (batch, 3, height, width) float32, normalised, wherever they are.
        side: what the model is told of them besides, likewise.
        flip: take the mean with the embeddings of the mirrored pictures.
    """
    device = _device_of(model)
    given = [pictures.to(device, non_blocking=True)]
    told = [] if side is None else [(side[0].to(device), side[1].to(device))]
    embeddings: torch.Tensor = model(*given, *told).float()
    return (embeddings + model(given[0].flip(-1), *told).float()) / 2 if flip else embeddings


def _side_information(model: Network, manifest: Manifest) -> Side | None:
    """Numbers of the cameras and views of all pictures, as the model knows them; None for a model that reads none."""
    if not isinstance(model, Embedder) or model.settings.side_information == "none":
        return None
    known = (np.asarray(names, dtype=np.str_) for names in (model.settings.side_cameras, model.settings.side_views))
    cameras, views = (
        torch.from_numpy(known_numbers(names, numbered))
        for names, numbered in zip((manifest.camera_id, manifest.view), known, strict=True)
    )
    return cameras, views


def _device_of(model: Network) -> torch.device:
    return next(model.parameters()).device
