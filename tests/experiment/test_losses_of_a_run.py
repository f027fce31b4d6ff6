"""A run with every loss, a neck, branches and stripes: what it learns from, and what is said of it."""

import json
from dataclasses import replace

import pytest
from conftest import TINY

from samecar.config import load_recipe
from samecar.data import Manifest, open_source
from samecar.errors import SamecarError
from samecar.experiment.evaluate import evaluate, score_run
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.losses import LOSSES

HERE = machine("cpu", 0)
TRIED = [name for name in LOSSES if name != "image_to_text"]  # which needs texts
CHANGES = [
    "model.neck=batch-norm",
    "model.branches=2",
    "model.height=64",
    "model.stripes=2",
    "loss.triplet_branches=[2]",
    "loss.triplet_mining=camera",
    "loss.triplet_distance=cosine",
    "loss.arcface.branches=[1]",
    *(f"loss.{name}.weight=0.1" for name in TRIED[2:]),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, painted_source):
    recipe = load_recipe("report-baseline", [*TINY, *CHANGES])
    return train(recipe, painted_source, tmp_path_factory.mktemp("losses") / "run", on=HERE)


def test_metrics_name_every_loss(run):
    for record in run.metrics():
        assert set(TRIED) <= set(record)
        total = sum((1 if name in ("cross_entropy", "triplet") else 0.1) * record[name] for name in TRIED)
        assert record["loss"] == pytest.approx(total, rel=1e-4)
        assert 0 <= record["accuracy"] <= 1


def test_the_card_says_which_feature_was_compared(run, painted_source):
    evaluation = evaluate(run, painted_source, on=HERE)
    said = "after the neck; 2 branches, each of length one; the whole map and 2 stripes"
    assert evaluation.card.embedding == said
    assert ("embedding", said) in evaluation.card.lines()
    (saved,) = (run.folder / "evaluations").glob("*.json")
    assert json.loads(saved.read_text())["protocol"]["embedding"] == said
    page = (run.folder / "report.html").read_text()
    assert "soft margin triplet</li>" in page
    assert said in page


def test_cards_of_models_with_one_feature_are_as_before(run, painted_source):
    card = replace(score_run(run, painted_source, on=HERE).evaluation.card, embedding=None)
    assert "embedding" not in dict(card.lines())
    assert "embedding" not in card.as_dict()


def test_mining_by_camera_needs_cameras(painted_source, tmp_path):
    manifest = open_source(painted_source)
    columns = {name: manifest.column(name) for name in ("path", "vehicle_id", "camera_id", "split")}
    for cameras, known in (("", 0), ("c1", 1)):
        content = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        rows = [{**row, "camera_id": cameras} if row["split"] == "train" else row for row in content]
        one = Manifest.from_rows(manifest.root, rows, source="csv")
        recipe = load_recipe("report-baseline", [*TINY, "loss.triplet_mining=camera"])
        with pytest.raises(SamecarError, match=f"loss.triplet_mining is 'camera' but {known} cameras are known"):
            train(recipe, one, tmp_path / "run", on=HERE)
        assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
