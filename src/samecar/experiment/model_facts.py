"""What is known of a trained model: how it came about, what it was trained on, and its scores."""

import json
from pathlib import Path
from typing import Any

from samecar.config import ModelSettings
from samecar.embedding.embeddings import NOT_STATED
from samecar.embedding.encoder import Encoder
from samecar.embedding.exported import TrainedOn
from samecar.errors import SamecarError
from samecar.experiment.composite import CompositeModel, TorchModel, TrainedModel
from samecar.files import read_json
from samecar.models.describing import describe_weights
from samecar.models.folders import DESCRIPTION_FILE
from samecar.training import Run, RunData

KEPT_SCORES = ("mAP", "cmc", "queries", "skipped", "intervals", "protocol")
"""What of each evaluation goes into the file."""


def facts_of_model(model: TorchModel) -> dict[str, Any]:
    """What a run or a composite tells of its training and its scores, by the names of `ExportFacts`."""
    data = TrainedOn.model_validate({**vars(model.data), "vehicles": tuple(model.data.vehicles)})
    known = {"trained_on": data, "scores": read_scores(model)}
    if isinstance(model, Run):
        return {
            **known,
            "composition": "",
            "recipe": model.recipe.digest,
            "licence": model.weights.get("licence"),
            "initial_weights": describe_weights(model.weights),
            "epoch_choice": model.model_facts()["epoch_choice"],
            "seed": model.recipe.training.seed,
        }
    return {**known, **_facts_of_composite(model)}


def _facts_of_composite(model: CompositeModel) -> dict[str, Any]:
    return {
        "composition": model.composition,
        "recipe": None,
        "licence": model.initial_weights,  # of each of its models, which name their licences
        "initial_weights": model.initial_weights,
        "epoch_choice": model.epoch_choice,
        "seed": model.seed,
    }


def facts_of_files(encoder: Encoder) -> dict[str, Any]:
    """What the files of a model tell of it, without the run around them.

    Raises:
        SamecarError: it is an exported file.
    """
    from samecar.models.weights.sources import stated_licence

    if DESCRIPTION_FILE not in encoder.files:
        raise SamecarError("the gallery's model is an exported file already; export the run that it came from")
    facts = json.loads(encoder.files[DESCRIPTION_FILE])
    unknown: dict[str, Any] = {"trained_on": None, "scores": ()}
    if "parts" in facts:
        return {**unknown, **_facts_of_composite(CompositeModel(Path(), RunData(NOT_STATED, NOT_STATED, 0, ()), facts))}
    settings = ModelSettings.model_validate(facts["model"])
    return {
        **unknown,
        "composition": "",
        "recipe": facts.get("recipe_digest"),
        "licence": stated_licence(settings),
        "initial_weights": settings.weights,
        "epoch_choice": facts.get("epoch_choice", NOT_STATED),
        "seed": None,
    }


def read_scores(model: TrainedModel) -> tuple[dict[str, Any], ...]:
    """The scores of a model in its folder, each with its card; those of an earlier state of the model are left out."""
    every = [read_json(path) for path in sorted((model.folder / "evaluations").glob("*.json"))]
    digest = model.model_digest()
    mine = [scores for scores in every if str((scores.get("protocol") or {}).get("model")).startswith(digest)]
    return tuple({name: scores[name] for name in KEPT_SCORES if name in scores} for scores in mine)
