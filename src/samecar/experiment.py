"""From a recipe and a source to a trained, scored model: the one place where everything is put together."""

from pathlib import Path

import numpy as np
import torch

from samecar.config import Recipe, digest
from samecar.data import (
    FailureLog,
    IdentityBatches,
    Manifest,
    hold_out_validation,
    open_source,
    training_loader,
    training_transform,
)
from samecar.embeddings import FLIP, Embeddings, embed
from samecar.errors import SamecarError
from samecar.evaluation import (
    PROTOCOLS,
    Evaluation,
    Labelled,
    Options,
    Protocol,
    Provenance,
    default_protocol,
    find_protocol,
    score,
)
from samecar.evaluation.examples import labels_of, ranked_queries, typical_queries, worst_queries
from samecar.evaluation.protocols import Relevance
from samecar.evaluation.records import save_evaluation
from samecar.evaluation.report import RankedQuery, write_report
from samecar.hardware import Machine, machine
from samecar.labels import Labels
from samecar.losses import Objective
from samecar.models import Embedder, build_embedder
from samecar.models.saved import MODEL_FILES
from samecar.progress import Progress, silent
from samecar.retrieval.bound_model import BoundModel
from samecar.similarity.products import Distance
from samecar.training import Run, RunData, fit

EXAMPLES = 8
CHECK = "`samecar data check`"


def train(
    recipe: Recipe,
    data: Manifest | str,
    out: Path,
    *,
    resume: bool = False,
    on: Machine | None = None,
    progress: Progress = silent,
) -> Run:
    """Trains a model on the 'train' pictures of a source.

    Args:
        recipe: what to train and how.
        data: a manifest, or a source such as `veri776:PATH`.
        out: the run folder, absent or empty unless resuming.
        resume: continue the run that is there.
        on: the machine.
        progress: is told how far the work is.

    Returns:
        The run, whose `load_model()` gives the model. With `training.validation` it is the epoch that scored the best
        mAP on held-out train vehicles, otherwise the last.

    Raises:
        SamecarError: whatever a user can mend.
    """
    on = on or machine()
    manifest = open_source(data) if isinstance(data, str) else data
    settings = recipe.training
    training = manifest.of_split("train")
    if not len(training):
        raise SamecarError(f"{manifest.name} has no train pictures; `samecar data split` makes some")
    run_data = RunData(manifest.name, training.digest, len(training), ())
    held_out: Manifest | None = None
    if settings.validation:
        training, held_out = hold_out_validation(training, settings.validation, settings.seed)
    vehicles, labels = np.unique(training.vehicle_id, return_inverse=True)  # (vehicles,), (pictures,)
    run_data = RunData(run_data.source, run_data.digest, run_data.pictures, [str(vehicle) for vehicle in vehicles])
    _refuse_settings(recipe)
    batches = IdentityBatches(
        training.vehicle_id, recipe.batch.size, recipe.batch.pictures_per_vehicle, seed=settings.seed
    )
    if resume:
        run = Run.resume(out, recipe, run_data)
        model = build_embedder(recipe.model, len(vehicles), load_weights=False)
    else:
        Run.refuse_used(out, recipe)
        model = initial_model(recipe, len(vehicles))
        run = Run.create(out, recipe, run_data)
    model.to(on.device)
    transform = training_transform(recipe.model, recipe.augmentation, model.mean, model.deviation)
    size = model.height, model.width
    loader = training_loader(training, labels, transform, batches, workers=on.workers, size=size)

    def validate(model: Embedder) -> dict[str, float]:
        assert held_out is not None
        embeddings = embed(model, held_out, device=on.device, workers=on.workers)
        scores = score_splits(embeddings, protocol_of(held_out))
        return {"mAP": scores.mean_average_precision, "rank-1": scores.cmc[1]}

    fit(
        model,
        loader,
        batches,
        FailureLog(training),
        run,
        device=on.device,
        resume=resume,
        validation=validate if held_out is not None else None,
        progress=progress,
    )
    if held_out is None:
        run.save_model(model, "model", epoch=settings.epochs, epoch_choice="last epoch")
    else:
        epoch = run.model_facts("best")["epoch"]
        choice = (
            f"best mAP on {len(set(held_out.vehicle_id))} held-out train vehicles (epoch {epoch} of {settings.epochs})"
        )
        run.save_model(run.load_model("best"), "model", epoch=epoch, epoch_choice=choice)
    return run


def _refuse_settings(recipe: Recipe) -> None:
    """Refuses, before a folder is made, what training would stumble over in its first batch."""
    Objective(recipe.loss)
    vehicles = recipe.batch.size // recipe.batch.pictures_per_vehicle
    if recipe.batch.size == 1:
        raise SamecarError("batch.size is 1; batch normalisation needs two pictures at least")
    if vehicles == 1 and recipe.loss.triplet:
        raise SamecarError(
            f"batch.size {recipe.batch.size} with batch.pictures_per_vehicle {recipe.batch.pictures_per_vehicle} is "
            "one vehicle a batch, and the triplet loss needs two; raise batch.size, or set loss.triplet to 0"
        )


def initial_model(recipe: Recipe, vehicles: int) -> Embedder:
    """The model as training finds it: seeded, with the weights that the recipe names."""
    torch.manual_seed(recipe.training.seed)
    return build_embedder(recipe.model, vehicles)


def evaluate(
    run: Run,
    data: Manifest | str,
    *,
    protocol: Protocol | None = None,
    distance: Distance = "euclidean",
    options: Options | None = None,
    flip: bool = False,
    untrained: Evaluation | None = None,
    on: Machine | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Scores a run's model on the query and gallery pictures of a source, and saves scores and report in its folder.

    Args:
        run: a finished run.
        data: a manifest, or a source such as `veri776:PATH`.
        protocol: the rules; by default those of the source.
        distance: between embeddings.
        options: what else may be chosen in scoring.
        flip: average each embedding with that of the mirrored picture.
        untrained: scores to show beside these, of the same network before training.
        on: the machine.
        progress: is told how far the work is.

    Raises:
        SamecarError: whatever a user can mend.
    """
    manifest = open_source(data) if isinstance(data, str) else data
    protocol = protocol or protocol_of(manifest)
    refuse_unscorable(manifest, protocol)
    options = options or Options()
    embeddings = embed_with(run, of_test(manifest), flip=flip, on=on, progress=progress)
    facts = run.model_facts()
    evaluation = score_splits(
        embeddings,
        protocol,
        distance=distance,
        provenance=Provenance(
            data=manifest.name,
            data_digest=embeddings.manifest.digest,
            model=embeddings.model,
            epoch_choice=facts["epoch_choice"],
            seed=run.recipe.training.seed,
            post_processing=(FLIP,) if flip else (),
        ),
        options=options,
    )
    save_evaluation(evaluation, run.folder / "evaluations" / f"{_evaluation_name(manifest, evaluation)}.json")
    run.log_scores({"mAP": evaluation.mean_average_precision, "rank-1": evaluation.cmc[1]}, facts["epoch"])
    query, gallery = queries_and_gallery(embeddings, evaluation)

    def ranked(rows: list[int]) -> list[RankedQuery]:
        return ranked_queries(query, gallery, evaluation, protocol, rows, distance=distance)

    write_report(
        run.folder / "report.html",
        title=run.recipe.title or run.folder.name,
        evaluation=evaluation,
        examples=ranked(typical_queries(evaluation, EXAMPLES)),
        worst=ranked(worst_queries(evaluation, EXAMPLES)),
        history=run.metrics(),
        untrained=untrained,
        recipe=run.recipe.model_dump(mode="json"),
    )
    return evaluation


def embed_with(
    run: Run,
    data: Manifest | str,
    *,
    flip: bool = False,
    on: Machine | None = None,
    progress: Progress = silent,
) -> Embeddings:
    """Embeds every picture of a source with a run's model; with `flip` averaged with the mirrored picture."""
    on = on or machine()
    manifest = open_source(data) if isinstance(data, str) else data
    model = run.load_model().to(on.device)
    return embed(
        model,
        manifest,
        model_digest=run.model_digest(),
        device=on.device,
        workers=on.workers,
        flip=flip,
        progress=progress,
    )


def bound_model(run: Run, *, on: Machine | None = None) -> BoundModel:
    """The model that a run ended with, as a gallery keeps it; its digest is the run's.

    Raises:
        SamecarError: the run has not ended.
    """
    folder = run.folder / "model"
    run.refuse_unfinished()
    files = {name: (folder / name).read_bytes() for name in MODEL_FILES}
    return BoundModel(files, (on or machine()).device)


def of_test(manifest: Manifest) -> Manifest:
    """The query and gallery pictures.

    Raises:
        SamecarError: there are none.
    """
    test = manifest.select(np.flatnonzero(manifest.split != "train"))
    if not len(test):
        raise SamecarError(f"{manifest.name} has no query and gallery pictures; `samecar data split` makes some")
    return test


def protocol_of(manifest: Manifest) -> Protocol:
    """The rules of a manifest's source; a set without cameras and queries is scored as VehicleID, which is one."""
    if (manifest.camera_id != "").any() or (manifest.split == "query").any():
        return default_protocol(manifest.source)
    return find_protocol("vehicleid")


def is_test_set(manifest: Manifest) -> bool:
    """Whether a manifest has the splits that its protocol scores."""
    wanted = {"gallery"} if protocol_of(manifest).gallery == "one per vehicle" else {"query", "gallery"}
    return wanted <= set(manifest.split.tolist())


def refuse_unscorable(manifest: Manifest, protocol: Protocol) -> None:
    """Checks labels before the work of embedding, or of training, is spent on pictures that cannot be scored.

    Raises:
        SamecarError: query or gallery pictures are missing, or no query has a match.
    """
    test = of_test(manifest)
    if protocol.gallery == "one per vehicle":
        if np.unique(test.vehicle_id[test.vehicle_id != ""], return_counts=True)[1].max(initial=0) < 2:
            raise SamecarError(f"no test vehicle of {manifest.name} has two pictures, query and match; see {CHECK}")
        return
    query, gallery = (test.of_split(split) for split in ("query", "gallery"))
    if not len(query) or not len(gallery):
        raise SamecarError(
            f"{manifest.name} has {len(query)} query and {len(gallery)} gallery pictures; protocol {protocol.name!r} "
            "needs both, and `samecar data split` makes them"
        )
    queries, pictures = (Labels(part.vehicle_id, part.camera_id) for part in (query, gallery))
    relevance = Relevance(queries, pictures, protocol)
    if not any(len(relevance.of(row)[0]) for row in range(len(query))):
        raise SamecarError(
            f"none of {len(query)} queries of {manifest.name} has a match in the gallery under protocol "
            f"{protocol.name!r} (junk: {protocol.junk}); see {CHECK}"
        )


def trained_vehicles(run: Run, manifest: Manifest) -> int:
    """Number of test vehicles that are called as vehicles that the run was trained on."""
    return len(np.intersect1d(run.data.vehicles, manifest.vehicle_id[manifest.split != "train"]))


def score_splits(
    embeddings: Embeddings,
    protocol: Protocol,
    *,
    distance: Distance = "euclidean",
    provenance: Provenance | None = None,
    options: Options | None = None,
) -> Evaluation:
    """Scores the 'query' rows of embeddings against their 'gallery' rows."""
    query, gallery = embeddings.of_split("query"), embeddings.of_split("gallery")
    return score(
        Labelled(query.matrix, labels_of(query)),
        Labelled(gallery.matrix, labels_of(gallery)),
        protocol,
        distance=distance,
        provenance=provenance,
        options=options,
    )


def queries_and_gallery(embeddings: Embeddings, evaluation: Evaluation) -> tuple[Embeddings, Embeddings]:
    """The queries and the gallery that an evaluation's last draw used."""
    query, gallery = embeddings.of_split("query"), embeddings.of_split("gallery")
    if evaluation.drawn is None:
        return query, gallery
    rows = np.concatenate([np.flatnonzero(embeddings.manifest.split == split) for split in ("query", "gallery")])
    return tuple(  # type: ignore[return-value]
        Embeddings(embeddings.matrix[rows[drawn]], embeddings.manifest.select(rows[drawn]), embeddings.model)
        for drawn in evaluation.drawn
    )


def _evaluation_name(manifest: Manifest, evaluation: Evaluation) -> str:
    """The same for the same pictures and rules, whichever model is scored."""
    card = evaluation.card
    name = f"{manifest.source}-{card.protocol}-{card.distance}-{card.data_digest}"
    usual = PROTOCOLS[card.protocol].junk if card.protocol in PROTOCOLS else card.junk_rule
    changes = [card.junk_rule, card.interpolation, card.post_processing]
    return name if changes == [usual, "none", "none"] else f"{name}-{digest(changes)}"
