"""From a run and a source to scores, to the report, and to what figures show of them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from samecar.config import digest
from samecar.data import Manifest, as_manifest
from samecar.embedding.embeddings import FLIP, Embeddings
from samecar.errors import SamecarError
from samecar.evaluation import PROTOCOLS, Evaluation, Options, Protocol, Provenance, save_evaluation, score
from samecar.evaluation.ranked_lists import (
    RankedPicture,
    RankedQuery,
    ranked_queries,
    typical_queries,
    worst_queries,
)
from samecar.evaluation.test_sets import of_test, protocol_of, refuse_unscorable
from samecar.experiment.composite import TrainedModel, as_model, finished_model
from samecar.experiment.embed import describe_side, embed_with
from samecar.hardware import Machine, machine
from samecar.models.describing import describe_embedding, describe_weights
from samecar.processes import take_part
from samecar.progress import Progress, silent
from samecar.report import write_report
from samecar.similarity.products import Distance
from samecar.training.run import Run

EXAMPLES = 8
"""Ranked lists in each section of the report."""


@dataclass(frozen=True)
class ScoredRun:
    """How a run's model ranks the query and gallery pictures of a source; made by `score_run`.

    Attributes:
        query: the queries; of the last draw, if the protocol draws its galleries.
        gallery: the gallery, likewise.
        evaluation: the scores.
        protocol: the rules.
        distance: between embeddings.
    """

    query: Embeddings
    gallery: Embeddings
    evaluation: Evaluation
    protocol: Protocol
    distance: Distance = "euclidean"

    def pictures(self) -> Embeddings:
        """Gallery and queries, but for query pictures that the gallery has too, as in VeRi-776."""
        new = np.flatnonzero(~np.isin(self.query.labels.picture, self.gallery.labels.picture))
        return Embeddings(
            np.concatenate([self.gallery.matrix, self.query.matrix[new]]),
            Manifest.concatenate([self.gallery.manifest, self.query.manifest.select(new)]),
            self.query.model,
            runtime=self.query.runtime,
        )

    def lists(self, rows: list[int], count: int = 10) -> list[RankedQuery]:
        """Some queries with their nearest gallery pictures, junk taken out.

        Args:
            rows: of the queries.
            count: how many pictures each.
        """
        return ranked_queries(
            self.query, self.gallery, self.evaluation, self.protocol, rows, count=count, distance=self.distance
        )

    def ranked(self, name: str | None, count: int = 20) -> RankedQuery:
        """A query and its nearest gallery pictures, junk taken out.

        Args:
            name: the end of the query's path; None takes one of middling average precision.
            count: gallery pictures to show.

        Raises:
            SamecarError: no query or several have that name, or it was not scored.
        """
        if name:
            row = self._row(name)
        else:
            typical = typical_queries(self.evaluation, 3)
            row = typical[len(typical) // 2]
        return self.lists([row], count)[0]

    def _row(self, name: str) -> int:
        paths = self.query.manifest.path.tolist()
        found = [row for row, path in enumerate(paths) if path.endswith(name)]
        if len(found) != 1:
            raise SamecarError(
                f"{len(found)} queries have a path that ends in {name!r}; one is needed, as in {paths[0]}"
            )
        if not self.evaluation.average_precisions[found[0]] >= 0:
            raise SamecarError(f"query {paths[found[0]]} has no match in the gallery; choose another one")
        return found[0]


def score_run(
    run: TrainedModel | str | Path,
    data: Manifest | str | Path,
    *,
    protocol: Protocol | None = None,
    distance: Distance | None = None,
    options: Options | None = None,
    flip: bool = False,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
) -> ScoredRun:
    """Embeds and scores the query and gallery pictures of a source with a run's model; writes nothing.

    Args:
        run: a finished run, a fused, reduced or exported model, or its folder or file.
        data: a manifest, or a source such as `veri776:PATH`.
        protocol: the rules; by default those of the source.
        distance: between embeddings; by default that of the run's recipe, and cosine for any other model.
        options: what else may be chosen in scoring.
        flip: average each embedding with that of the mirrored picture.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.

    Raises:
        SamecarError: whatever a user can mend.
    """
    model, manifest = as_model(run), as_manifest(data)
    protocol = protocol or protocol_of(manifest)
    distance = distance or (model.recipe.model.distance if isinstance(model, Run) else "cosine")
    refuse_unscorable(manifest, protocol)
    model, on = finished_model(model), on or machine()
    with take_part(on) as processes:
        embeddings = embed_with(
            model, of_test(manifest), flip=flip, on=on, progress=progress, reference=True, keep=True
        )
        provenance = replace(
            _origin(model, embeddings.model),
            data=manifest.name,
            data_digest=embeddings.manifest.digest,
            side_information=describe_side(model, embeddings.manifest),
            post_processing=(FLIP,) if flip else (),
            runtime=embeddings.runtime,
        )
        evaluation = processes.once(
            lambda: score_splits(embeddings, protocol, distance=distance, provenance=provenance, options=options)
        )
    query, gallery = _queries_and_gallery(embeddings, evaluation)
    return ScoredRun(query, gallery, evaluation, protocol, distance)


def evaluate(
    run: TrainedModel | str | Path,
    data: Manifest | str | Path,
    *,
    protocol: Protocol | None = None,
    distance: Distance | None = None,
    options: Options | None = None,
    flip: bool = False,
    untrained: Evaluation | None = None,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
) -> Evaluation:
    """Scores a run's model on the query and gallery pictures of a source, and saves scores and report in its folder.

        >>> samecar.evaluate("runs/resnet18", "veri776:VeRi", progress=True)
        Evaluation(mAP 68.9, rank-1 93.6; veri776, 1,678 queries)

    In processes that `torchrun` has started, all of them call this and embed a share of the pictures; the first one
    alone scores and writes.

    Args:
        run: a finished run, a fused, reduced or exported model, or its folder or file.
        data: a manifest, or a source such as `veri776:PATH`.
        protocol: the rules; by default those of the source.
        distance: between embeddings: euclidean or cosine; by default that of the run's recipe, and cosine for any
            other model.
        options: what else may be chosen in scoring.
        flip: average each embedding with that of the mirrored picture.
        untrained: scores to show beside these, of the same network before training.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.

    Raises:
        SamecarError: whatever a user can mend.
    """
    model, manifest, on = as_model(run), as_manifest(data), on or machine()
    with take_part(on) as processes:
        scored = score_run(
            model,
            manifest,
            protocol=protocol,
            distance=distance,
            options=options,
            flip=flip,
            on=on,
            progress=progress,
        )
        processes.once(lambda: _save(model, manifest, scored, untrained))
    return scored.evaluation


def _save(model: TrainedModel, manifest: Manifest, scored: ScoredRun, untrained: Evaluation | None) -> None:
    """Writes scores and report into a model's folder."""
    evaluation = scored.evaluation
    save_evaluation(evaluation, model.folder / "evaluations" / f"{_evaluation_name(manifest, evaluation)}.json")
    title, history, recipe = Path(model).name, [], None
    if isinstance(model, Run):
        title, history = model.recipe.title or title, model.metrics()
        recipe = model.recipe.model_dump(mode="json")
        scores = {"mAP": evaluation.mean_average_precision, "rank-1": evaluation.cmc[1]}
        model.log_scores(scores, model.model_facts()["epoch"])
    write_report(
        model.folder / "report.html",
        title=title,
        evaluation=evaluation,
        examples=scored.lists(typical_queries(evaluation, EXAMPLES)),
        worst=scored.lists(worst_queries(evaluation, EXAMPLES)),
        history=history,
        untrained=untrained,
        recipe=recipe,
    )


def trained_vehicles(run: TrainedModel, manifest: Manifest) -> int:
    """Number of test vehicles that are called as vehicles that the run was trained on."""
    tested = (manifest.split != "train") & manifest.labelled
    return len(np.intersect1d(run.data.vehicles, manifest.vehicle_id[tested]))


def score_splits(
    embeddings: Embeddings,
    protocol: Protocol,
    *,
    distance: Distance = "euclidean",
    provenance: Provenance | None = None,
    options: Options | None = None,
) -> Evaluation:
    """Scores the 'query' rows of embeddings against their 'gallery' rows."""
    return score(
        embeddings.of_split("query"),
        embeddings.of_split("gallery"),
        protocol,
        distance=distance,
        provenance=provenance,
        options=options,
    )


def _origin(model: TrainedModel, digest_of_model: str) -> Provenance:
    """What the card says of a model; of a composite also what it is composed of."""
    if isinstance(model, Run):
        return Provenance(
            model=digest_of_model,
            initial_weights=describe_weights(model.weights),
            epoch_choice=model.model_facts()["epoch_choice"],
            seed=model.recipe.training.seed,
            embedding=describe_embedding(model.recipe.model),
        )
    return Provenance(
        model=f"{digest_of_model}: {model.composition}",
        initial_weights=model.initial_weights,
        epoch_choice=model.epoch_choice,
        seed=model.seed,
    )


def _queries_and_gallery(embeddings: Embeddings, evaluation: Evaluation) -> tuple[Embeddings, Embeddings]:
    """The queries and the gallery that an evaluation's last draw used."""
    if evaluation.drawn is None:
        return embeddings.of_split("query"), embeddings.of_split("gallery")
    splits = embeddings.manifest.split
    pool = np.concatenate([np.flatnonzero(splits == split) for split in ("query", "gallery")])
    query, gallery = evaluation.drawn
    return embeddings.select(pool[query]), embeddings.select(pool[gallery])


def _evaluation_name(manifest: Manifest, evaluation: Evaluation) -> str:
    """The same for the same pictures and rules, whichever model is scored."""
    card = evaluation.card
    name = f"{manifest.source}-{card.protocol}-{card.distance}-{card.data_digest}"
    usual = PROTOCOLS[card.protocol].junk if card.protocol in PROTOCOLS else card.junk_rule
    changes = [card.junk_rule, card.interpolation, card.post_processing]
    return name if changes == [usual, "none", "none"] else f"{name}-{digest(changes)}"


def telling_results(ranked: RankedQuery) -> list[tuple[str, Path]]:
    """The nearest right picture of a ranked list and the nearest wrong one, if it has them, with their headings."""
    telling: dict[bool, tuple[str, Path]] = {}
    for rank, result in enumerate(ranked.results, start=1):
        telling.setdefault(result.correct, (_heading(rank, result), result.path))
    return [telling[kind] for kind in (True, False) if kind in telling]


def _heading(rank: int, result: RankedPicture) -> str:
    return f"{'match' if result.correct else 'wrong vehicle'}, rank {rank}"
