"""What users of the report's own code ran into, each shown not to happen here.

The rules themselves are tested where they are made; these tests are short and go the way that a user goes.
"""

import json
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from conftest import TINY, paint_picture

from samecar.config import AugmentationSettings, load_recipe
from samecar.data import IdentityBatches, open_source, training_transform
from samecar.data.pictures import read_picture
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.evaluation import find_protocol, score
from samecar.evaluation.test_sets import protocol_of
from samecar.experiment.evaluate import evaluate, score_splits
from samecar.experiment.train import initial_model, train
from samecar.hardware import machine
from samecar.labels import Labels
from samecar.models import build_embedder
from samecar.preprocessing import Preprocessing
from samecar.training import Run, learning_rate

HERE = machine("cpu", 0)


def recipe_with(*changes):
    return load_recipe("report-baseline", [*TINY, *changes])


@pytest.fixture(scope="module")
def run(tmp_path_factory, painted_source):
    return train(recipe_with(), painted_source, tmp_path_factory.mktemp("runs") / "run", on=HERE)


def test_vehicleid_is_scored(tmp_path):
    """There, scoring VehicleID always failed."""
    for vehicle in range(4):
        for index in range(3):
            paint_picture(tmp_path / "image" / f"{vehicle}{index}.jpg", vehicle, 0, index)
    lines = [f"{vehicle}{index} {vehicle}\n" for vehicle in range(4) for index in range(3)]
    (tmp_path / "train_list.txt").write_text("".join(lines[:6]))
    (tmp_path / "test_list_800.txt").write_text("".join(lines[6:]))
    manifest = open_source(f"vehicleid:{tmp_path}")
    scores = score_splits(embed(initial_model(recipe_with(), 2), manifest), protocol_of(manifest))
    assert 0 < scores.mean_average_precision <= 1
    assert scores.card.gallery_rule == "one per vehicle, mean of 10 draws with seed 1"
    assert (scores.card.queries_scored, scores.card.gallery_pictures) == (4, 2)


def test_checkpoints_need_no_gpu_and_no_pickle(run, monkeypatch):
    """There, checkpoints of a GPU did not load without one, nor under torch 2.6 and later."""

    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.load", refuse)
    monkeypatch.setattr("pickle.load", refuse)
    assert Run.open(run.folder).load_model().vehicles == 8
    for path in run.folder.rglob("*.safetensors"):
        with path.open("rb") as file:
            tensors = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        tensors.pop("__metadata__", None)
        assert all(tensor.keys() == {"dtype", "shape", "data_offsets"} for tensor in tensors.values())  # no device


def test_resuming_keeps_the_learning_rates_schedule(painted_source, tmp_path):
    """There, a resumed run began its schedule anew."""

    def stop(task, done, total, note=""):
        if done * 2 >= total and not note.startswith("epoch"):
            raise KeyboardInterrupt

    recipe = recipe_with("training.epochs=4", "schedule.warmup_epochs=1", "schedule.milestones=[3]")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, painted_source, tmp_path / "run", on=HERE, progress=stop)
    resumed = train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    rates = [record["learning_rate"] for record in resumed.metrics()]
    assert rates == pytest.approx([1e-5, 1e-3, 1e-3, 1e-4])


def test_a_misspelt_checkpoint_is_never_an_untrained_network(run, tmp_path):
    """There, a misspelt path scored a network that was not trained."""
    with pytest.raises(SamecarError, match="rnu is not there"):
        Run.open(run.folder.parent / "rnu")
    with pytest.raises(SamecarError, match="has no trained model yet"):
        run.load_model("bset")
    with pytest.raises(SamecarError, match="is not a file; give the path of one"):
        build_embedder(recipe_with(f"model.weights={tmp_path}/bset.pth").model, 8)


def test_cosine_is_a_cosine():
    """There, 'cosine' was a multi-step schedule."""
    schedule = recipe_with("schedule.decay=cosine").schedule
    rates = [learning_rate(schedule, 1.0, epoch, 60) for epoch in range(60)]
    assert rates == pytest.approx((1 + np.cos(np.pi * np.arange(60) / 60)) / 2)


def test_pictures_per_vehicle_does_something(painted_source):
    """There, `--num-instances` did nothing."""
    vehicles = open_source(painted_source).of_split("train").vehicle_id
    for count in (1, 2, 4):
        for batch in IdentityBatches(vehicles, 8, count):
            counts = np.unique(vehicles[[draw.row for draw in batch]], return_counts=True)[1]
            assert counts.tolist() == [count] * (8 // count)


def test_centre_crop_does_something(painted_folder):
    """There, `--center-crop` did nothing."""
    picture = read_picture(painted_folder / "train" / "v00_c0_0.png")
    whole, cropped = (
        training_transform(
            Preprocessing(32, 32, mean=(0.5,) * 3, deviation=(0.5,) * 3),
            AugmentationSettings(centre_crop=share, translation=0, flip=0),
        )(picture)
        for share in (1, 0.5)
    )
    assert whole.shape == cropped.shape == (3, 32, 32)
    assert not torch.allclose(whole, cropped, atol=0.05)


def test_the_junk_rule_does_something(run, painted_source):
    """There, `--query-remove` did nothing: every query of VeRi-776 is in the gallery too and finds itself."""
    query = Embeddings(np.zeros((1, 2), np.float32), Labels(np.array(["a"]), np.array(["1"])))
    matrix = np.array([[0, 0], [1, 0], [2, 0]], np.float32)  # the query itself, another vehicle, the match
    gallery = Embeddings(matrix, Labels(np.array(["a", "b", "a"]), np.array(["1", "1", "2"])))
    assert score(query, gallery, find_protocol("veri776")).cmc[1] == 0
    assert score(query, gallery, find_protocol("no-junk")).cmc[1] == 1
    assert evaluate(run, painted_source, on=HERE).card.junk_rule == "same vehicle and same camera"


def test_too_few_vehicles_for_a_batch_are_an_error(painted_source, tmp_path):
    """There, training went on silently, on nothing."""
    with pytest.raises(
        SamecarError, match=r"needs 12 vehicles, but only 8 are there to train on; lower batch\.size to 16"
    ):
        train(recipe_with("batch.size=24"), painted_source, tmp_path / "run", on=HERE)
    assert not (tmp_path / "run").exists()


def test_corrupt_pictures_end(painted_folder, tmp_path):
    """There, reading a corrupt picture was tried for ever."""
    for vehicle in range(4):
        for index in range(2):
            whole = (painted_folder / "train" / f"v0{vehicle}_c0_{index}.png").read_bytes()
            (tmp_path / f"v{vehicle}_c{index}.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SamecarError, match="of 8 training pictures cannot be read"):
        train(recipe_with(), f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}.png", tmp_path / "run", on=HERE)


def test_a_folder_called_like_a_picture_is_no_label(tmp_path):
    """There, a parent folder called 12_c3 became vehicle and camera of every picture."""
    paint_picture(tmp_path / "12_c3" / "0007_c1_0.png", 7, 1, 0)
    paint_picture(tmp_path / "12_c3" / "deep" / "0008_c2_0.png", 8, 2, 0)
    manifest = open_source(f"folder:{tmp_path}/12_c3/**/{{vehicle_id}}_{{camera_id}}_*.png")
    assert manifest.rows(("vehicle_id", "camera_id")) == [("0007", "c1"), ("0008", "c2")]


def test_runs_with_other_heads_do_not_overwrite_each_other(run, painted_source):
    """There, the run's folder did not tell heads apart."""
    before = run.model_digest()
    other = recipe_with("model.head=fc-bn-relu-fc", "model.embedding_size=16")
    with pytest.raises(SamecarError, match=r"model\.head was 'none' and is now 'fc-bn-relu-fc'.*choose another folder"):
        train(other, painted_source, run.folder, on=HERE)
    assert run.model_digest() == before
    assert other.digest != run.recipe.digest


def test_evaluation_takes_far_less_than_16_bytes_a_pair():
    """There, scoring VeRi-776 took 35 s in a Python loop, and 16 bytes for every pair of query and gallery picture."""
    queries, gallery, vehicles = 1678, 11579, 200  # as many as in VeRi-776
    generator = np.random.default_rng(0)

    def drawn(pictures):
        matrix = generator.normal(size=(pictures, 8)).astype(np.float32)
        numbers = np.arange(pictures) % vehicles
        return Embeddings(
            matrix, Labels(numbers.astype(np.str_), generator.integers(20, size=pictures).astype(np.str_))
        )

    given = drawn(queries), drawn(gallery)
    tracemalloc.start()
    try:
        evaluation = score(*given, find_protocol("veri776"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert evaluation.card.queries_scored == queries
    assert peak < 16 * queries * gallery / 4
