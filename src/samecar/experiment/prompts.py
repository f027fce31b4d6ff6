"""From a recipe with prompts to the features of the texts about the train vehicles: the first stage of CLIP-ReID."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from samecar.config import Recipe
from samecar.data import FailureLog, Manifest, known_numbers
from samecar.data.dataset import unchanged_loader
from samecar.errors import SamecarError
from samecar.losses.image_to_text import ImageToText
from samecar.models import Embedder
from samecar.models.saved import model_tensors, tensors_digest
from samecar.models.texts.prompts import VehiclePrompts
from samecar.models.texts.text_tower import build_text_tower
from samecar.progress import Progress
from samecar.training import Learner, Run
from samecar.training.prompts import PROMPTS_FILE, LearnedPrompts, check_vehicles, learn_prompts, read_texts

BATCH_SIZE = 64
"""Pictures, or texts, whose features are calculated at a time."""


def refuse_prompts(recipe: Recipe) -> None:
    """Checks that prompts are learned where they are read, and read where they are learned.

    Raises:
        SamecarError: they are not, or the network does not give the projected feature that they are held against.
    """
    tower, weight = recipe.prompts.text_tower, recipe.loss.image_to_text.weight
    if tower == "none" and weight:
        raise SamecarError(
            f"loss.image_to_text.weight is {weight:g} but prompts.text_tower is 'none', so there is no text to read; "
            "name the backbone's text tower, such as 'ViT-B-16-quickgelu', or set the weight to 0"
        )
    if tower == "none":
        return
    if not weight:
        raise SamecarError(
            f"prompts.text_tower is {tower!r} but loss.image_to_text.weight is 0, so nothing reads what is learned; "
            "give it a weight, or leave the options of prompts out"
        )
    if not recipe.model.projection or recipe.model.head != "none":
        raise SamecarError(
            f"loss.image_to_text reads the projected feature, but model.projection is {recipe.model.projection} and "
            f"model.head is {recipe.model.head!r}; set projection to true and head to 'none'"
        )


def build_prompts(recipe: Recipe, model: Embedder) -> VehiclePrompts | None:
    """Builds the prompts of a recipe with the text tower that reads them; None if it has none.

    Raises:
        SamecarError: the tower cannot be had or is not that of the model's picture tower, or the prompts are too long.
    """
    settings = recipe.prompts
    if settings.text_tower == "none":
        return None
    tower = build_text_tower(settings.text_tower, settings.weights, recipe.training.seed)
    if tower.width != model.backbone.projected:
        raise SamecarError(
            f"prompts.text_tower {settings.text_tower!r} gives {tower.width} numbers for a text, and the projection of "
            f"model.backbone {recipe.model.backbone!r} {model.backbone.projected} for a picture; name the text tower "
            "that learned beside it"
        )
    return VehiclePrompts(tower, settings, model.vehicles, recipe.training.seed)


def teach_texts(
    learner: Learner,
    prompts: VehiclePrompts,
    run: Run,
    training: Manifest,
    labels: NDArray[np.int64],
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Gives the objective the texts about the vehicles: learned now, unless the run has learned them before.

    The model stays as it is, and nothing is drawn from torch's random numbers. If it is interrupted, all of it is done
    again.

    Args:
        learner: as it begins, with the weights that the recipe names.
        prompts: the recipe's, as they begin; changed in place.
        run: keeps what was learned in its folder.
        training: the pictures that are trained on.
        labels: (pictures,) numbers of their vehicles, in the order of the run's.
        workers: threads that read pictures.
        progress: is told how far the work is.

    Raises:
        SamecarError: too many pictures cannot be read, the loss is no longer finite, or what was learned before is
            damaged.
    """
    path = run.folder / PROMPTS_FILE
    if not path.is_file():
        features, seen = read_projections(learner.model, training, labels, workers=workers, progress=progress)
        _learn(prompts.to(learner.device), learner.recipe, features, seen, run.data.vehicles, progress).save(path)
    learned = LearnedPrompts.load(path)
    check_vehicles(learned, run.data.vehicles, path)
    for loss in cast(nn.ModuleList, learner.objective.losses[ImageToText.name]):
        cast(ImageToText, loss).set_texts(learned.texts)


@torch.no_grad()
def read_projections(
    model: Embedder, training: Manifest, labels: NDArray[np.int64], *, workers: int, progress: Progress
) -> tuple[Tensor, Tensor]:
    """The projected features of all train pictures that can be read, without random changes.

    Returns:
        Features, (pictures, width) float32, and numbers of vehicles, (pictures,), where the model is.

    Raises:
        SamecarError: too many pictures cannot be read.
    """
    device = next(model.parameters()).device
    failures, features, seen = FailureLog(training), [], []
    cameras, views = (torch.from_numpy(known_numbers(names)) for names in (training.camera_id, training.view))
    was_training = model.training
    model.eval()
    for batch in unchanged_loader(training, labels, model.preprocessing, BATCH_SIZE, workers):
        failures.add(batch.failures)
        if len(batch.pictures):
            side = (cameras[batch.rows].to(device), views[batch.rows].to(device))
            (part,) = model.outputs(batch.pictures.to(device), side).parts
            features.append(part.before[:, -model.backbone.projected :].float())
            seen.append(batch.labels.to(device))
        progress("features", sum(map(len, seen)) + len(failures), len(training))
    model.train(was_training)
    return torch.cat(features), torch.cat(seen)


def _learn(
    prompts: VehiclePrompts,
    recipe: Recipe,
    features: Tensor,
    labels: Tensor,
    vehicles: Sequence[str],
    progress: Progress,
) -> LearnedPrompts:
    settings = recipe.prompts
    learn_prompts(prompts, features, labels, settings, seed=recipe.training.seed, progress=progress)
    origin = {
        "text_tower": settings.text_tower,
        "weights": settings.weights,
        "text_tower_digest": tensors_digest(save(model_tensors(prompts.tower))),
    }
    texts = read_texts(prompts, BATCH_SIZE)
    return LearnedPrompts(tuple(vehicles), prompts.learned.detach().cpu(), texts.cpu(), origin)
