"""Training compared with its start."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY

from samecar.config import load_recipe
from samecar.data import as_manifest
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.evaluation import Provenance, find_protocol, score
from samecar.evaluation.test_sets import of_test
from samecar.experiment.train import initial_model
from samecar.experiment.trial import Trial, score_untrained, train_and_evaluate
from samecar.hardware import machine
from samecar.training import Run

HERE = machine("cpu", 0)
RECIPE = load_recipe(
    "report-baseline", [*TINY, "training.epochs=1", "model.distance=cosine", "training.validation=0.25"]
)


@pytest.fixture(scope="module")
def trial(tmp_path_factory, painted_source):
    return train_and_evaluate(RECIPE, painted_source, tmp_path_factory.mktemp("trial") / "run", on=HERE)


def test_the_start_is_the_network_that_training_finds(trial, painted_source):
    manifest = as_manifest(painted_source)
    vehicles = len(trial.run.data.vehicles)
    assert vehicles == 6  # two of eight are held out
    embeddings = embed(initial_model(RECIPE, vehicles), of_test(manifest), workers=0)
    parts = (embeddings.of_split(split) for split in ("query", "gallery"))
    expected = score(*parts, find_protocol("plain"), distance="cosine", provenance=Provenance())
    np.testing.assert_array_equal(trial.untrained.average_precisions, expected.average_precisions)
    assert trial.untrained.card.epoch_choice == "before training"


def test_both_scores_are_by_the_distance_of_the_recipe_and_stand_in_the_report(trial):
    assert trial.untrained.card.distance == trial.trained.card.distance == "cosine"
    assert "Before training" in (trial.run.folder / "report.html").read_text(encoding="utf-8")
    assert trial.gain == trial.trained.mean_average_precision - trial.untrained.mean_average_precision


def scored_like(evaluation, values):
    """An evaluation with other average precisions."""
    old = evaluation.queries.metrics["mAP"]
    metrics = {**evaluation.queries.metrics, "mAP": old._replace(values=np.asarray(values, dtype=float))}
    return replace(
        evaluation, mean_average_precision=float(np.mean(values)), queries=evaluation.queries._replace(metrics=metrics)
    )


def test_training_that_does_not_help_is_warned_of(trial):
    count = len(trial.trained.queries.labels)
    low, high = scored_like(trial.trained, [0.2] * count), scored_like(trial.trained, [0.9] * count)
    worse = Trial(trial.run, high, low)
    assert worse.warning().startswith("training has not helped: mAP is 90.0 before and 20.0 after it; try larger")
    assert Trial(trial.run, low, low).warning().startswith("training has not helped")
    # four vehicles: a difference of each of them comes about by chance in 2 of 16 exchanges
    better = Trial(trial.run, low, high)
    assert better.p_value == pytest.approx(2 / 16, abs=0.01)
    assert better.warning().startswith("training may not have helped; that can be chance")


def test_training_that_helps_is_not_warned_of(trial, monkeypatch):
    count = len(trial.trained.queries.labels)
    better = Trial(trial.run, scored_like(trial.trained, [0.2] * count), scored_like(trial.trained, [0.9] * count))
    monkeypatch.setattr(Trial, "p_value", 0.01)
    assert better.warning() is None


def test_what_training_would_refuse_is_refused_before_the_first_scoring(trial, painted_source, monkeypatch):
    monkeypatch.setattr("samecar.experiment.trial.embed", None)
    with pytest.raises(SamecarError, match="already holds a run of this recipe; continue it with --resume"):
        train_and_evaluate(RECIPE, painted_source, trial.run.folder, on=HERE)


def test_a_run_that_is_taken_up_again_is_compared_with_its_start_too(trial, painted_source):
    again = train_and_evaluate(RECIPE, painted_source, trial.run.folder, resume=True, on=HERE)
    assert again.untrained.mean_average_precision == trial.untrained.mean_average_precision
    assert Run.open(trial.run.folder).metrics() == trial.run.metrics()


def test_a_source_without_test_pictures_cannot_be_scored(painted_folder):
    manifest = as_manifest(f"folder:{painted_folder}/train/{{vehicle_id}}_{{camera_id}}_*.png")
    with pytest.raises(SamecarError, match="has no query and gallery pictures"):
        score_untrained(RECIPE, manifest, on=HERE)


def test_a_start_that_cannot_be_had_again_is_not_scored(trial, painted_source, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trial.run.folder, folder)
    content = json.loads((folder / "run.json").read_text())
    content["weights"]["sha256"] = "0" * 64
    (folder / "run.json").write_text(json.dumps(content))
    again = train_and_evaluate(RECIPE, painted_source, folder, resume=True, on=HERE)
    assert again.untrained is None
    assert again.warning() is None
    assert math.isnan(again.gain)
    assert math.isnan(again.p_value)
    assert again.trained.mean_average_precision == trial.trained.mean_average_precision
