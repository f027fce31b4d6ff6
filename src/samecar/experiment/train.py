"""From a recipe and a source to a trained model."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from samecar.config import ModelSettings, Recipe, as_recipe
from samecar.data import (
    Delivery,
    FailureLog,
    Manifest,
    as_manifest,
    hold_out_validation,
    plan_batches,
    training_loader,
    training_transform,
)
from samecar.data.kept_pictures import keep_pictures
from samecar.data.placeholders import without_placeholders
from samecar.data.sampling import BatchesPart
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.evaluation.test_sets import protocol_of
from samecar.experiment.evaluate import score_splits
from samecar.experiment.prompts import build_prompts, refuse_prompts, teach_texts
from samecar.files import as_path
from samecar.hardware import Machine, Speed, machine
from samecar.losses.objective import mines_by_camera, refuse_batches, refuse_losses
from samecar.models import Embedder, build_embedder
from samecar.models.layers.whitening import Whitening, refuse_single_pictures
from samecar.models.texts.prompts import VehiclePrompts
from samecar.processes import Processes, take_part
from samecar.progress import Progress, show_progress, silent
from samecar.training import Learner, Run, RunData, fit
from samecar.training.lock import hold
from samecar.training.logs import check_log

Watch = Callable[[int, Mapping[str, float]], None]
"""Is called with an epoch, from 1, and the mAP and rank-1 on held-out vehicles after it."""


def train(
    recipe: Recipe | str | Path,
    data: Manifest | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
    watch: Watch | None = None,
    log: str | None = None,
) -> Run:
    """Trains a model on the 'train' pictures of a source.

        >>> run = samecar.train("small-set", "folder:crops/{vehicle_id}_{camera_id}.jpg", "runs/first", progress=True)

    In processes that `torchrun` has started, all of them call this and share each batch; the first one alone writes the
    run folder and tells how far the work is.

    Args:
        recipe: what to train and how; a recipe, the name of a shipped one, or a TOML file.
        data: a manifest, or a source such as `veri776:PATH`.
        out: the run folder, absent or empty unless resuming.
        resume: continue the run that is there. The recipe may ask for more `training.epochs` than the run was begun
            with, or for another `training.patience`, where the epochs that are trained are the same by both.
        on: the machine; several processes on it share it.
        progress: True shows bars; a function is told how far the work is.
        watch: is told of each scoring of the held-out vehicles, and may end training by an exception.
        log: where epochs are told besides `metrics.jsonl`: tensorboard, mlflow, wandb or trackio; by default the log of
            a run that is resumed, else tensorboard.

    Returns:
        The run, whose `load_model()` gives the model. With `training.validation` it is the epoch that scored the best
        mAP on held-out train vehicles, otherwise the last.

    Raises:
        SamecarError: whatever a user can mend; another process trains in the folder.
    """
    folder, on = as_path(out, "out"), (on or machine()).used_as(Speed())
    if log is not None:
        check_log(log)
    with take_part(on) as processes, hold(folder) if processes.first else nullcontext():
        return _train(
            recipe,
            data,
            folder,
            processes,
            resume=resume,
            on=processes.machine(on),
            progress=progress if processes.first else silent,
            watch=watch,
            log=log,
        )


def _train(
    recipe: Recipe | str | Path,
    data: Manifest | str | Path,
    out: Path,
    processes: Processes,
    *,
    resume: bool,
    on: Machine,
    progress: Progress | bool | None,
    watch: Watch | None,
    log: str | None,
) -> Run:
    recipe, manifest = as_recipe(recipe), as_manifest(data)
    settings, distance = recipe.training, recipe.model.distance
    training, held_out = pictures_to_train_on(recipe, manifest)
    vehicles, labels = np.unique(training.vehicle_id, return_inverse=True)  # (vehicles,), (pictures,)
    given = manifest.of_split("train")
    run_data = RunData(manifest.name, given.digest, len(given), [str(vehicle) for vehicle in vehicles])
    _refuse_settings(recipe, training)
    batches = plan_batches(training, recipe.batch, settings.seed)
    part = BatchesPart(batches, processes.rank, processes.count)

    failures = FailureLog(training)

    def validate(model: Embedder) -> dict[str, float]:
        assert held_out is not None
        embeddings = embed(model, held_out, workers=on.workers)
        scores = score_splits(embeddings, protocol_of(held_out), distance=distance)
        return {"mAP": scores.mean_average_precision, "rank-1": scores.cmc[1]}

    run, learner, prompts = _begin(recipe, out, run_data, training, on, processes, resume=resume, log=log)
    recipe, model = run.recipe, learner.model
    begins = not processes.once(lambda: run.has_begun)
    if begins and held_out is not None:
        processes.once(lambda: run.note_untrained(validate(model)))

    def validate_epoch(model: Embedder) -> dict[str, float]:
        learn_last_layer(model, failures.readable(), workers=on.workers)
        scores = validate(model)
        if watch is not None:
            watch(len(run.metrics()) + 1, scores)
        return scores

    def save() -> None:
        if held_out is None:
            learn_last_layer(learner.trained, failures.readable(), workers=on.workers)
            run.save_model(learner.trained, "model", epoch=recipe.training.epochs, epoch_choice="last epoch")
        else:
            epoch, held = run.model_facts("best")["epoch"], len(set(held_out.vehicle_id))
            run.save_model(run.load_model("best"), "model", epoch=epoch, epoch_choice=_epoch_choice(run, epoch, held))

    with show_progress(progress) as report:
        if prompts is not None and processes.first:
            teach_texts(learner, prompts, run, training, labels, workers=on.workers, progress=report)
        transform = training_transform(model.preprocessing, recipe.augmentation)
        kept = keep_pictures(training, transform, on, report)
        delivery = Delivery(on.device, learner.speed.channels_last)
        loader = training_loader(training, labels, transform, part, on.workers, delivery, kept)
        fit(
            learner,
            loader,
            batches,
            failures,
            run,
            resume=not begins,
            validation=validate_epoch if held_out is not None else None,
            progress=report,
        )
    processes.once(save)
    return run


def learn_last_layer(model: Embedder, training: Manifest, *, workers: int) -> None:
    """Computes the last layer of a model that has a learned whitening, from its embeddings of train pictures.

    Args:
        model: is changed; one without such a layer is left alone.
        training: pictures of known vehicles, two of one at least.
        workers: threads that read pictures.

    Raises:
        SamecarError: no vehicle has two pictures.
    """
    if isinstance(model.whitening, Whitening):
        model.whitening.forget()
        embeddings = embed(model, training, workers=workers)
        model.whitening.learn(embeddings.matrix, training.vehicle_id)


def _begin(
    recipe: Recipe,
    out: Path,
    data: RunData,
    training: Manifest,
    on: Machine,
    processes: Processes,
    *,
    resume: bool,
    log: str | None,
) -> tuple[Run, Learner, VehiclePrompts | None]:
    """Opens the run and builds what learns, the prompts too if they are still to be learned before training.

    A run that was interrupted before its first step, or while it learned its prompts, begins as it began before.
    """
    if not resume:
        processes.once(lambda: Run.refuse_used(out, recipe))
        model = initial_model(recipe, len(data.vehicles), training)
        prompts = build_prompts(recipe, model)
        learner = Learner(model, recipe, on.device, on.speed, processes)
        return processes.once(lambda: Run.create(out, recipe, data, model, log)), learner, prompts
    run = processes.once(lambda: Run.resume(out, recipe, data, log))
    if processes.once(lambda: run.has_begun):
        model, prompts = build_embedder(run.model_settings, len(data.vehicles), load_weights=False), None
    else:
        model = initial_model(run.recipe.model_copy(update={"model": run.model_settings}), len(data.vehicles))
        run.refuse_other_weights(model)
        prompts = build_prompts(run.recipe, model)
    learner = Learner(model, run.recipe, on.device, on.speed, processes)
    processes.once(lambda: run.note_recipe(model.preprocessing))
    return run, learner, prompts


def train_pictures(manifest: Manifest) -> Manifest:
    """The train pictures, but for those whose vehicle_id names no vehicle, such as -1.

    Raises:
        SamecarError: there are none.
    """
    given = manifest.of_split("train")
    training = without_placeholders(given)
    if not len(training):
        lacking = "train pictures of known vehicles" if len(given) else "train pictures"
        raise SamecarError(f"{manifest.name} has no {lacking}; `samecar data split` makes some")
    return training


def pictures_to_train_on(recipe: Recipe, manifest: Manifest) -> tuple[Manifest, Manifest | None]:
    """The train pictures that are trained on, and those of vehicles held out to choose the epoch, if any are.

    Raises:
        SamecarError: there are no train pictures, or too few vehicles to hold some out.
    """
    training, settings = train_pictures(manifest), recipe.training
    if not settings.validation:
        return training, None
    return hold_out_validation(training, settings.validation, settings.seed)


def _epoch_choice(run: Run, epoch: int, held_out: int) -> str:
    """How an epoch was chosen by so many held-out vehicles, as the protocol card says it."""
    settings = run.recipe.training
    choice = f"best mAP on {held_out} held-out train vehicles (epoch {epoch} of {settings.epochs}"
    if run.ended_early is None:
        return f"{choice})"
    return f"{choice}; training ended early after {run.ended_early}, {settings.patience} scorings in a row no better)"


def _refuse_settings(recipe: Recipe, training: Manifest) -> None:
    """Refuses, before a folder is made, what training would stumble over in its first batch."""
    refuse_losses(recipe.loss, recipe.model)
    if recipe.batch.size == 1:
        raise SamecarError("batch.size is 1; batch normalisation needs two pictures at least")
    refuse_batches(recipe.loss, recipe.batch)
    cameras = set(training.camera_id.tolist()) - {""}
    by_camera = mines_by_camera(recipe.loss)
    if by_camera and len(cameras) < 2:
        raise SamecarError(
            f"{recipe.loss.option(by_camera[0], 'mining')} is 'camera' but {len(cameras)} cameras are known of the "
            "train pictures; give a source that knows two or more, or leave the option out"
        )
    if recipe.model.whitening == "learned":
        refuse_single_pictures(training.vehicle_id)
    refuse_prompts(recipe)


def initial_model(recipe: Recipe, vehicles: int, training: Manifest | None = None) -> Embedder:
    """The model as training finds it: seeded, with the weights that the recipe names.

    Args:
        recipe: whose network and seed.
        vehicles: that its classifier tells apart.
        training: the pictures to train on, whose cameras and views a model with side information gets to know; without
            them it knows none.

    Raises:
        SamecarError: the network cannot be built, or nothing is known of the pictures that it is to be told.
    """
    settings = recipe.model if training is None else _with_side_names(recipe.model, training)
    torch.manual_seed(recipe.training.seed)
    return build_embedder(settings, vehicles)


def _with_side_names(settings: ModelSettings, training: Manifest) -> ModelSettings:
    if settings.side_cameras or settings.side_views:
        raise SamecarError("model.side_cameras and model.side_views are filled in by training; leave them out")
    told = [] if settings.side_information == "none" else settings.side_information.split("+")
    names = {}
    for kind in told:
        column = training.camera_id if kind == "camera" else training.view
        known = sorted(set(column.tolist()) - {""})
        if not known:
            raise SamecarError(
                f"model.side_information is {settings.side_information!r}, but no training picture has a {kind}; give "
                f"one in the manifest, or choose side_information 'none'"
            )
        names[f"side_{kind}s"] = tuple(known)
    return settings.model_copy(update=names)
