"""What a user meets first: names, help, what functions take, what values look like, and how work tells its progress."""

import io
import pydoc
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import paint_picture
from film_making import paint_vehicle, red_detector, road, write_film
from rich.console import Console

import samecar
import samecar.data
from samecar import progress
from samecar.calibration import Calibration
from samecar.errors import SamecarError
from samecar.evaluation import compare_runs
from samecar.films import FilmSettings
from samecar.hardware import machine
from samecar.labels import Labels
from samecar.progress import describe_speed, progress_bars, show_progress, silent
from samecar.report import write_report
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import EVERYTHING
from samecar.training import Run

HERE = machine("cpu", 0)

NAMES = {
    *("Calibration", "Embedder", "Embeddings", "Evaluation", "Gallery", "Manifest", "Recipe", "Run", "SamecarError"),
    *("YoloxDetector", "bound_model", "build_embedder", "calibrate", "compare", "draw_set", "draw_twin"),
    *("draw_vehicle", "embed_with", "evaluate", "find_protocol", "ingest", "load_recipe", "machine", "open_source"),
    *("score", "train"),
}
"""That the package has had from the beginning; there may be more."""

WITHOUT_PATHS = {"build_embedder", "draw_vehicle", "find_protocol", "machine", "score"}
"""Functions at the root that take no path, source, run or recipe."""


# names


def test_dir_and_help_list_the_public_names():
    assert set(dir(samecar)) >= NAMES
    assert "TYPE_CHECKING" not in dir(samecar)
    assert "import_module" not in dir(samecar)
    page = pydoc.plain(pydoc.render_doc(samecar))
    assert "samecar --help" in page
    assert samecar.__version__ in page
    for name in NAMES:
        assert f"{name}(" in page or f"class {name}" in page


def test_every_name_can_be_loaded_and_completed():
    assert set(samecar.__all__) == set(dir(samecar))
    for package in (samecar, samecar.data):
        assert all(getattr(package, name) is not None for name in package.__all__)


def test_importing_is_quick_and_does_not_load_torch():
    script = (
        "import time; begin = time.process_time(); import samecar; dir(samecar); print(time.process_time() - begin); "
        "import sys; print(sorted({'torch', 'numpy', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    answers = [subprocess.check_output([sys.executable, "-c", script], text=True).splitlines() for _ in range(3)]
    assert min(float(seconds) for seconds, _ in answers) < 0.2
    assert {loaded for _, loaded in answers} == {"[]"}


def test_checking_a_set_does_not_load_torch():
    script = "import sys, samecar.data; samecar.data.check; samecar.data.Manifest; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"


# paths, sources, runs and recipes, as texts and as Paths


@pytest.fixture(scope="module")
def notes():
    """What the training of the world's run told."""
    return []


@pytest.fixture(scope="module")
def world(tmp_path_factory, notes):
    """Eighteen train and four test vehicles, a trained run that held ten out, a gallery, a film and a detector."""
    folder = tmp_path_factory.mktemp("world")
    for vehicle in range(22):
        for camera in (1, 2):
            split = "train" if vehicle < 18 else "gallery"
            paint_picture(folder / "pictures" / split / f"v{vehicle:02d}_c{camera}.png", vehicle, camera, 0)
            if camera == 1 and split == "gallery":
                paint_picture(folder / "pictures" / "query" / f"v{vehicle:02d}_c{camera}.png", vehicle, camera, 0)
    (folder / "tiny.toml").write_text(
        'base = "report-baseline"\n[model]\nbackbone = "test_resnet"\nweights = "none"\nheight = 32\nwidth = 32\n'
        "[batch]\nsize = 8\npictures_per_vehicle = 2\n[training]\nepochs = 1\nvalidation = 0.56\n"
    )

    def note_down(task, done, total, note=""):
        notes.append(note)

    run = samecar.train(str(folder / "tiny.toml"), source_of(folder), folder / "run", on=HERE, progress=note_down)
    with Gallery.create(folder / "gallery", samecar.bound_model(run)):
        pass
    pictures = [road() for _ in range(12)]
    for index, picture in enumerate(pictures):
        paint_vehicle(picture, "car", 80 + 4 * index, 40)
    write_film(folder / "film.mov", pictures)
    red_detector(folder / "red.onnx")
    return folder


def source_of(folder):
    return f"folder:{folder}/pictures/{{split}}/{{vehicle_id}}_{{camera_id}}.png"


def picture_of(folder):
    return folder / "pictures" / "gallery" / "v20_c1.png"


def check_train(given, world, out):
    run = samecar.train(given(world / "tiny.toml"), given(source_of(world)), given(out / "run"), on=HERE)
    assert isinstance(run.folder, Path)
    assert (out / "run" / "model").is_dir()


def check_evaluate(given, world, out):
    run = shutil.copytree(world / "run", out / "run")
    assert samecar.evaluate(given(run), given(source_of(world)), on=HERE).card.queries_scored == 4
    assert (run / "report.html").is_file()
    for other in (given(run), Run.open(run)):
        assert compare_runs(given(run), other)[0].queries == 4


def check_embed_with(given, world, out):
    embeddings = samecar.embed_with(given(world / "run"), given(source_of(world)), on=HERE)
    embeddings.save(given(out / "embeddings.npz"))
    assert (samecar.Embeddings.load(given(out / "embeddings.npz")).matrix == embeddings.matrix).all()


def check_bound_model(given, world, out):
    assert samecar.bound_model(given(world / "run")).digest == Run.open(given(world / "run")).model_digest()


def check_calibrate(given, world, out):
    run = shutil.copytree(world / "run", out / "run")
    calibrated = samecar.calibrate(given(run), given(source_of(world)), on=HERE)
    assert Calibration.read(given(run / "calibration.json")) == calibrated.calibration


def check_compare(given, world, out):
    picture = picture_of(world)
    assert samecar.compare(given(picture), given(picture), given(world / "run")).similarity == pytest.approx(1)


def check_ingest(given, world, out):
    gallery = shutil.copytree(world / "gallery", out / "gallery")
    settings = FilmSettings(minimum_size=24, pool=2)
    report = samecar.ingest(
        given(world / "film.mov"), given(gallery), given(world / "red.onnx"), camera="north", settings=settings,
        crops=given(out / "crops"), draw=given(out / "frames"),
    )  # fmt: skip
    assert report.added == 1
    with Gallery.open(given(gallery)) as opened:
        assert len(opened.engine.listed(EVERYTHING)) == 1
    assert list((out / "crops").iterdir())


def check_draw_set(given, world, out):
    samecar.draw_set(given(out / "set"), vehicles=4, cameras=2, pictures=1, size=32, workers=1)
    assert (out / "set" / "name_train.txt").is_file()


def check_draw_twin(given, world, out):
    samecar.draw_set(out / "set", vehicles=4, cameras=2, pictures=1, size=32, workers=1)
    samecar.draw_twin(given(out / "set"), given(out / "twin"), size=32, workers=1)
    assert (out / "twin" / "name_train.txt").read_bytes() == (out / "set" / "name_train.txt").read_bytes()


def check_load_recipe(given, world, out):
    assert samecar.load_recipe(given(world / "tiny.toml")).training.epochs == 1
    assert samecar.load_recipe(given("report-baseline")).digest == samecar.load_recipe("report-baseline").digest


def check_open_source(given, world, out):
    manifest = samecar.open_source(given(source_of(world)))
    manifest.write(given(out / "manifest.csv"))
    assert len(samecar.Manifest.read(given(out / "manifest.csv"))) == len(manifest) == 48
    assert samecar.data.check(given(f"csv:{out / 'manifest.csv'}"), workers=0).splits["train"].pictures == 36


def check_gallery(given, world, out):
    with Gallery.create(given(out / "gallery"), samecar.bound_model(world / "run")) as gallery:
        assert gallery.facts.size


def check_detector(given, world, out):
    assert samecar.YoloxDetector.open(given(world / "red.onnx"))


def check_report(given, world, out):
    write_report(given(out / "report.html"), title="Mine", evaluation=small_evaluation(), examples=[], worst=[])
    assert (out / "report.html").is_file()


CHECKS = {name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")}


@pytest.mark.parametrize("given", [str, Path])
@pytest.mark.parametrize("name", CHECKS)
def test_what_is_named_is_given_as_a_text_or_as_a_path(name, given, world, tmp_path):
    CHECKS[name](given, world, tmp_path)


def test_every_function_at_the_root_is_gone_through():
    functions = {name for name in NAMES if name[0].islower()}
    assert functions - WITHOUT_PATHS <= CHECKS.keys()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda run: samecar.train(3, "csv:a.csv", "out", on=HERE), "recipe is of type int"),
        (lambda run: samecar.train("report-baseline", 3, "out", on=HERE), "source is of type int"),
        (lambda run: samecar.train("report-baseline", "csv:a.csv", None, on=HERE), "out is of type NoneType"),
        (lambda run: samecar.evaluate(None, "csv:a.csv"), "run folder is of type NoneType"),
        (lambda run: samecar.evaluate(run, ["csv:a.csv"]), "source is of type list"),
        (lambda run: samecar.bound_model(""), "run folder is empty"),
        (lambda run: samecar.compare(b"a.jpg", "b.jpg", run), "first picture is of type bytes"),
        (lambda run: samecar.ingest(3, "gallery", "d.onnx", camera="north"), "film is of type int"),
        (lambda run: samecar.draw_set(3), "out is of type int"),
        (lambda run: samecar.draw_twin(None, "out"), "names is of type NoneType"),
        (lambda run: samecar.draw_set("never", vehicles=4, progress="yes"), "progress is 'yes'"),
        (lambda run: samecar.load_recipe(3), "recipe is of type int"),
        (lambda run: samecar.open_source(3), "source is of type int"),
        (lambda run: samecar.Manifest.read(3), "manifest is of type int"),
        (lambda run: samecar.Embeddings.load(3), "embeddings is of type int"),
        (lambda run: samecar.YoloxDetector.open(3), "detector is of type int"),
        (lambda run: Gallery.open(3), "gallery is of type int"),
        (lambda run: Run.open(3), "run folder is of type int"),
        (lambda run: Calibration.read(3), "calibration is of type int"),
        (lambda run: Calibration.read("absent.json"), "calibration absent.json cannot be read: No such file"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(call, named, world):
    with pytest.raises(SamecarError, match=named):
        call(str(world / "run"))


# what values look like


def small_evaluation(name="veri776"):
    labels = Labels(np.array(["a", "b"]), np.array(["1", "1"])), Labels(np.array(["a", "b"]), np.array(["2", "2"]))
    query, gallery = np.eye(2, dtype=np.float32), np.array([[1, 0], [1, 0.1]], np.float32)
    return samecar.score(
        samecar.Embeddings(query, labels[0]),
        samecar.Embeddings(gallery, labels[1]),
        replace(samecar.find_protocol("veri776"), name=name),
    )


def test_a_run_says_where_it_lies_what_it_saw_and_how_far_it_is(world):
    run = Run.open(world / "run")
    assert repr(run) == f"<Run {world / 'run'}: folder:pictures, 8 vehicles, 1 epoch>"
    assert str(Path(run)) == str(world / "run")


def test_a_damaged_run_still_says_what_it_is_called(world, tmp_path):
    run = Run.open(shutil.copytree(world / "run", tmp_path / "run"))
    (tmp_path / "run" / "metrics.jsonl").write_text("{no JSON\n")
    assert repr(run) == f"<Run {tmp_path / 'run'}, damaged>"
    shutil.rmtree(tmp_path / "run")
    assert repr(run) == f"<Run {tmp_path / 'run'}: folder:pictures, 8 vehicles, 0 of 1 epoch>"


def test_a_gallery_says_what_it_holds_without_loading_its_model(world, tmp_path):
    folder = shutil.copytree(world / "gallery", tmp_path / "gallery")
    with Gallery.open(folder) as gallery:
        model = Run.open(world / "run").model_digest()
        size = gallery.facts.size
        held = f"embeddings of {size} numbers by model {model}, searched by 'exact'"
        assert repr(gallery) == f"<Gallery {folder}: {held}>"
        assert gallery._model is None
    assert str(folder) in repr(gallery)  # closed
    shutil.rmtree(folder)
    assert repr(gallery) == f"<Gallery {folder}, closed or out of reach>"


def test_a_manifest_counts_its_pictures(world):
    manifest = samecar.open_source(source_of(world))
    assert repr(manifest) == "Manifest(folder:pictures: 36 train, 4 query, 8 gallery pictures)"
    assert repr(manifest.select([])) == "Manifest(folder:pictures: no pictures)"


def test_a_manifest_shows_counts_and_its_first_rows_in_a_notebook(world):
    html = samecar.open_source(source_of(world))._repr_html_()
    assert "<tr><td>train</td><td>36</td><td>18</td><td>2</td></tr>" in html
    assert "… and 43 more" in html
    assert html.count("<tr>") == 1 + 3 + 1 + 5
    assert samecar.open_source(source_of(world)).select([])._repr_html_()


def test_nothing_in_a_notebook_is_taken_for_markup():
    row = {"path": "<b>.png", "vehicle_id": "<script>", "camera_id": "&", "split": "train"}
    html = samecar.Manifest.from_rows("<i>", [row])._repr_html_() + small_evaluation("<script>")._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;script&gt;" in html


def test_an_evaluation_says_its_scores_and_protocol():
    evaluation = small_evaluation()
    assert repr(evaluation) == "Evaluation(mAP 100.0, rank-1 100.0; veri776, 2 queries)"
    html = replace(evaluation, intervals={"mAP": (0.4321, 0.9876)})._repr_html_()
    assert "<td>mAP</td><td>100.0</td><td>43.2 to 98.8</td>" in html
    assert "<td>mINP</td><td>100.0</td><td></td>" in html
    assert "<td>junk rule</td>" in html


def test_embeddings_say_their_shape_and_model(world):
    row = {"path": "a.png", "vehicle_id": "a", "camera_id": "1", "split": "train"}
    embeddings = samecar.Embeddings(np.zeros((1, 2048), np.float32), samecar.Manifest.from_rows(".", [row]), "0123abcd")
    assert repr(embeddings) == "Embeddings(1 × 2,048, model 0123abcd)"


# progress


def terminal(**options):
    return Console(file=io.StringIO(), width=160, color_system=None, **options)


def test_a_terminal_shows_a_bar_for_each_kind_of_work():
    console = terminal(force_terminal=True)
    with progress_bars(console) as bars:
        bars("training", 1, 4, "loss 1.000  [note]")
        bars("embedding", 4, 4)
        for done in (1, 2, 3):
            bars("adding", done, 3)
    shown = console.file.getvalue()
    assert "training" in shown
    assert "1/4" in shown
    assert "loss 1.000  [note]" in shown
    assert "4/4" in shown
    assert "/s" in shown.partition("3/3")[2]  # of work that tells no note


def test_elsewhere_there_is_a_line_a_minute(monkeypatch):
    console, now = terminal(), [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress_bars(console) as lines:
        lines("training", 1, 4, "loss 1.000")
        now[0] = 61.0
        lines("training", 2, 4, "loss 0.500")
        lines("training", 3, 4, "loss 0.250")
    assert console.file.getvalue() == "training 2/4 loss 0.500\n"


def test_true_shows_bars_and_false_nothing(monkeypatch, capsys):
    for nothing in (None, False):
        with show_progress(nothing) as report:
            assert report is silent
    with show_progress(print) as report:
        assert report is print
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes that for a terminal
    with show_progress(True) as report:
        report("training", 1, 2)
    assert "1/2" in capsys.readouterr().err
    with pytest.raises(SamecarError, match="progress is 'yes'; give True"), show_progress("yes"):
        pass


def test_work_of_the_root_shows_bars_when_asked(world, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    samecar.embed_with(world / "run", source_of(world), on=HERE, progress=True)
    assert "pictures/s" in capsys.readouterr().err
    samecar.embed_with(world / "run", source_of(world), on=HERE, progress=False)
    assert capsys.readouterr().err == ""


def test_training_tells_loss_rate_and_speed(world, notes):
    assert notes[0].startswith("epoch 1/1  loss ")
    assert "  lr 0.0001  " in notes[0]
    assert notes[0].endswith(" pictures/s")


def test_speed_is_told_with_the_memory_of_a_gpu(monkeypatch):
    monkeypatch.setattr(progress.time, "perf_counter", lambda: 12.0)
    assert describe_speed(9000, 2.0, torch.device("cpu")) == "900 pictures/s"
    assert describe_speed(5, 2.0, torch.device("cpu")) == "0.5 pictures/s"
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    assert describe_speed(9000, 2.0, torch.device("cuda")) == "900 pictures/s  GPU 3.0 GiB"


@pytest.mark.gpu
def test_training_on_a_gpu_tells_its_memory(world, tmp_path):
    notes = []
    samecar.train(
        world / "tiny.toml", source_of(world), tmp_path / "run", on=machine("cuda", 0),
        progress=lambda task, done, total, note="": notes.append(note),
    )  # fmt: skip
    assert "pictures/s  GPU 0." in notes[0]
