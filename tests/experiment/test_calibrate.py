import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from command_line import done, refused
from conftest import TINY, paint_picture
from PIL import Image

import samecar
from samecar.calibration import Calibration, CalibrationOptions
from samecar.calibration.fitting import matchable_vehicles
from samecar.cli import console
from samecar.config import load_recipe
from samecar.data import Manifest, open_source
from samecar.errors import SamecarError
from samecar.experiment.calibrate import _draw_pictures, calibrate, unseen_vehicles
from samecar.experiment.compare import compare, find_calibration
from samecar.experiment.train import train
from samecar.hardware import machine
from samecar.labels import Labels
from samecar.training import Run

HERE = machine("cpu", 0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Eighteen train vehicles and ten test vehicles, all seen by two cameras."""
    folder = tmp_path_factory.mktemp("crops")
    for vehicle in range(28):
        for camera in (1, 2):
            split = "train" if vehicle < 18 else "gallery"
            paint_picture(folder / split / f"v{vehicle:02d}_c{camera}.png", vehicle, camera, 0)
            if camera == 1 and split == "gallery":
                paint_picture(folder / "query" / f"v{vehicle:02d}_c{camera}.png", vehicle, camera, 0)
    return f"folder:{folder}/{{split}}/{{vehicle_id}}_{{camera_id}}.png"


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    """A run that held ten of its train vehicles out."""
    recipe = load_recipe("report-baseline", [*TINY, "training.validation=0.56"])
    return train(recipe, source, tmp_path_factory.mktemp("runs") / "run", on=HERE)


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, not calibrated."""
    uncalibrated = shutil.ignore_patterns("calibration.*")
    return Run.open(shutil.copytree(trained.folder, tmp_path / "run", ignore=uncalibrated))


@pytest.fixture(scope="module")
def calibrated(trained, source):
    return calibrate(trained, source, on=HERE)


def picture(source, name):
    return source.removeprefix("folder:").partition("{")[0] + name


# which vehicles


def test_the_vehicles_that_validation_held_out_are_taken(trained, source):
    manifest, kind = unseen_vehicles(trained, open_source(source))
    assert kind == "train vehicles held out from training"
    assert set(manifest.split.tolist()) == {"train"}
    assert len(np.unique(manifest.vehicle_id)) == 10
    assert not set(manifest.vehicle_id.tolist()) & set(trained.data.vehicles)


def test_test_vehicles_are_taken_only_if_asked_for_or_alone(trained, source):
    manifest = open_source(source)
    asked, kind = unseen_vehicles(trained, manifest, test_vehicles=True)
    assert kind == "test vehicles, not trained on"
    assert len(asked) == len(np.unique(asked.vehicle_id)) * 2 == 20  # query files are copies of gallery files here
    alone, alone_kind = unseen_vehicles(trained, manifest.select(manifest.split != "train"))
    assert (alone.digest, alone_kind) == (asked.digest, kind)
    twice = replace(manifest, path=np.char.replace(manifest.path, "query/", "gallery/"))
    assert len(unseen_vehicles(trained, twice, test_vehicles=True)[0]) == 20


def test_vehicles_that_were_trained_on_are_refused(trained, source):
    manifest = open_source(source)
    seen = np.isin(manifest.vehicle_id, trained.data.vehicles)
    with pytest.raises(
        SamecarError, match=r"has no train vehicles that .*would lie.*its 10 test vehicles with --test-"
    ):
        unseen_vehicles(trained, manifest.select(seen | (manifest.split != "train")))
    with pytest.raises(SamecarError, match=r"give another source$"):
        unseen_vehicles(trained, manifest.select(seen))
    with pytest.raises(SamecarError, match="has no test vehicles"):
        unseen_vehicles(trained, manifest.select(manifest.split == "train"), test_vehicles=True)


def test_pictures_of_another_source_are_named_so_and_unlabelled_ones_left_out(trained):
    rows = [
        {"path": f"{n}.png", "vehicle_id": vehicle, "camera_id": "", "split": "train"}
        for n, vehicle in enumerate(("", "new1", "-1"))
    ]
    manifest, kind = unseen_vehicles(trained, Manifest.from_rows(".", rows))
    assert manifest.path.tolist() == ["1.png"]
    assert kind == "train vehicles of a source that was not trained on"


def test_of_a_large_source_whole_vehicles_are_drawn(trained, source, monkeypatch):
    monkeypatch.setattr("samecar.experiment.calibrate.MOST_PICTURES", 17)
    evidence = calibrate(trained, source, on=HERE).calibration.evidence
    assert (evidence.vehicles, evidence.pictures) == (8, 16)


@pytest.mark.parametrize("cameras", [("a", "b"), ("a", "b", "c"), ("",)])
@pytest.mark.parametrize(
    ("counts", "left"),
    [
        ([70] * 10, 10),  # whole vehicles would be seven
        ([600] * 3 + [4] * 9, 12),  # the first of them alone may be too large
        ([400] * 8 + [1] * 900, 8),  # of the others no two pictures show one vehicle
    ],
)
def test_of_vehicles_with_many_pictures_some_of_each_camera_are_drawn(counts, left, cameras, monkeypatch):
    monkeypatch.setattr("samecar.experiment.calibrate.MOST_PICTURES", 500)
    rows = [
        {"path": f"{vehicle}_{n}.png", "vehicle_id": f"v{vehicle}", "camera_id": cameras[n % len(cameras)], "split": ""}
        for vehicle, count in enumerate(counts)
        for n in range(count)
    ]
    manifest = Manifest.from_rows(".", [{**row, "split": "train"} for row in rows])
    drawn = _draw_pictures(manifest, seed=1)
    assert 400 < len(drawn) <= 500
    assert len(set(drawn.path.tolist())) == len(drawn)
    assert set(drawn.path.tolist()) <= set(manifest.path.tolist())
    assert len(matchable_vehicles(Labels(drawn.vehicle_id, drawn.camera_id))) == left
    large = drawn.vehicle_id == "v0"
    numbers = np.unique(drawn.camera_id[large], return_counts=True)[1]
    assert len(numbers) == len(cameras)
    assert np.ptp(numbers) == 0
    assert _draw_pictures(manifest, seed=1).path.tolist() == drawn.path.tolist()
    assert _draw_pictures(manifest, seed=2).path.tolist() != drawn.path.tolist()


# calibrate


def test_a_calibration_is_kept_with_its_run(run, source, calibrated):
    calibrate(run, source, on=HERE)
    found = find_calibration(run)
    assert found == calibrated.calibration == Calibration.from_json((run.folder / "calibration.json").read_text())
    assert found.model == run.model_digest()
    evidence = found.evidence
    assert (evidence.vehicles, evidence.pictures, evidence.same_pairs, evidence.different_pairs) == (10, 20, 10, 90)
    assert samecar.calibrate is calibrate
    assert samecar.compare is compare


def test_options_of_another_kind_are_refused(run, source):
    with pytest.raises(SamecarError, match="options are 'logistic'; give CalibrationOptions, or single options by"):
        calibrate(run, source, "logistic")


def test_single_options_are_given_by_name_instead_of_what_options_say(run, source):
    by_name = calibrate(run, source, method="logistic", seed=2, on=HERE)
    options = CalibrationOptions(method="logistic", seed=7)
    assert calibrate(run, source, options, seed=2, on=HERE).calibration == by_name.calibration
    assert by_name.calibration.pairs.method == "logistic"
    assert by_name.calibration.evidence.seed == 2
    with pytest.raises(SamecarError, match="calibration has no option 'metod'"):
        calibrate(run, source, metod="logistic", on=HERE)


def test_a_calibration_of_another_model_is_refused(run, source, calibrated):
    other = calibrated.calibration.model_copy(update={"model": "fedcba9876543210"})
    (run.folder / "calibration.json").write_text(other.to_json())
    with pytest.raises(SamecarError, match="belongs to model fedcba9876543210"):
        find_calibration(run)
    (run.folder / "calibration.json").write_text("{")
    with pytest.raises(SamecarError, match=r"run/calibration\.json is no calibration"):
        find_calibration(run)


def test_too_few_vehicles_leave_nothing_behind_and_are_noticed_before_embedding(run, source, monkeypatch):
    manifest = open_source(source)
    few = manifest.select(np.isin(manifest.vehicle_id, ["v20", "v21", "v22"]))
    monkeypatch.setattr(
        "samecar.experiment.calibrate.embed_with", lambda *_, **__: pytest.fail("pictures were embedded")
    )
    with pytest.raises(SamecarError, match="3 of 3 vehicles"):
        calibrate(run, few, on=HERE)
    assert find_calibration(run) is None
    assert not list(run.folder.glob(".calibration*"))


# compare


def test_pictures_are_compared_under_the_runs_calibration(trained, source, calibrated):
    first, second = picture(source, "gallery/v20_c1.png"), picture(source, "gallery/v20_c2.png")
    same = compare(first, first, trained)
    assert same.similarity == pytest.approx(1, abs=1e-6)
    assert same.same
    one, other = compare(first, second, trained), compare(second, first, trained)
    assert one.similarity == pytest.approx(other.similarity, abs=1e-6)
    assert one.probability == pytest.approx(calibrated.calibration.probability(one.similarity))
    assert one.threshold == calibrated.calibration.same_threshold
    assert one.same == (one.similarity >= one.threshold)


def test_without_a_calibration_there_is_a_similarity(run, source):
    likeness = compare(picture(source, "gallery/v20_c1.png"), picture(source, "gallery/v21_c2.png"), run)
    assert -1 <= likeness.similarity <= 1
    assert likeness.probability is likeness.threshold is likeness.same is None


# commands


def test_calibrate_prints_draws_and_writes(run, source):
    said = done("calibrate", run.folder, "--data", source, "--workers", 0, "--false-alarm-rate", 0.3)
    assert "10 vehicles (train vehicles held out from training) in 20 pictures" in said
    assert "Stated false alarms 30.0 %" in said
    with Image.open(run.folder / "calibration.png") as image:
        assert image.width >= 1500
    assert (run.folder / "calibration.svg").is_file()
    likeness = done("compare", *[picture(source, "gallery/v20_c1.png")] * 2, "--run", run.folder)
    assert "similarity   1.000" in likeness
    assert "same vehicle (from " in likeness


def test_no_probability_is_printed_as_certain():
    shares = (0, 0.0004, 0.001, 0.5, 0.999, 0.99994, 1)
    printed = ["<0.1 %", "<0.1 %", "0.1 %", "50.0 %", "99.9 %", ">99.9 %", ">99.9 %"]
    assert [console.probability(share) for share in shares] == printed


@pytest.mark.slow
def test_json_holds_all(run, source):
    content = json.loads(
        done("calibrate", run.folder, "--data", source, "--workers", 0, "--method", "logistic", "--json")
    )
    assert content == json.loads((run.folder / "calibration.json").read_text())
    assert content["pairs"]["method"] == "logistic"
    pictures = picture(source, "gallery/v20_c1.png"), picture(source, "gallery/v21_c1.png")
    likeness = json.loads(done("compare", *pictures, "--run", run.folder, "--json"))
    assert set(likeness) == {"similarity", "probability", "threshold", "same"}


def test_a_run_without_calibration_says_how_to_get_one(run, source):
    pictures = picture(source, "gallery/v20_c1.png"), picture(source, "gallery/v21_c1.png")
    said = done("compare", *pictures, "--run", run.folder)
    assert f"make one with `samecar calibrate {run.folder} --data SOURCE`" in said
    assert json.loads(done("compare", *pictures, "--run", run.folder, "--json"))["probability"] is None


@pytest.mark.parametrize("kept", ["in a folder", pytest.param("on a server", marks=pytest.mark.slow)])
def test_a_gallery_compares_under_the_calibration_that_it_was_given(kept, run, source, tmp_path, request):
    pytest.importorskip("faiss")
    gallery, engine, on_server, named = str(tmp_path / "gallery"), None, (), ""
    if kept == "on a server":
        postgres = request.getfixturevalue("postgres")
        gallery, engine = "north", postgres.address(postgres.new_database())
        on_server, named = ("--engine", engine), " --engine ADDRESS"
    first = picture(source, "gallery/v20_c1.png")
    samecar.Gallery.create(gallery, samecar.bound_model(run), engine=engine).close()
    before = done("compare", first, first, "--gallery", gallery, *on_server)
    assert f"`samecar gallery calibrate {gallery}{named} --run RUN`" in before
    done("calibrate", run.folder, "--data", source, "--workers", 0)
    done("gallery", "calibrate", gallery, "--run", run.folder, *on_server)
    after = done("compare", first, first, "--gallery", gallery, *on_server)
    assert after == done("compare", first, first, "--run", run.folder)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--method", "linear"], "--method is 'linear'; give isotonic or logistic"),
        (["--false-alarm-rate", "5"], "--false-alarm-rate is 5.0; give a share above 0 and below 1"),
    ],
)
def test_wrong_options_are_one_sentence_before_embedding(arguments, sentence, run, source, monkeypatch):
    monkeypatch.setattr(
        "samecar.experiment.calibrate.embed_with", lambda *_, **__: pytest.fail("pictures were embedded")
    )
    assert sentence in refused("calibrate", run.folder, "--data", source, "--workers", 0, *arguments)


def test_compare_asks_for_one_model(run, source, tmp_path):
    first = picture(source, "gallery/v20_c1.png")
    assert "give --run or --gallery" in refused("compare", first, first)
    assert "give --run or --gallery" in refused("compare", first, first, "--run", run.folder, "--gallery", tmp_path)
    assert "nothing.png cannot be read" in refused("compare", first, "nothing.png", "--run", run.folder)
