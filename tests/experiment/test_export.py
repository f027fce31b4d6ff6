"""What `samecar export` writes, and that it is taken wherever a run is."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import done, refused
from conftest import TINY, paint_picture
from galleries import serving
from PIL import Image
from tiny_run import tiny_run

import samecar
from samecar.config import ModelSettings, load_recipe
from samecar.embedding.encoder import Encoder
from samecar.errors import SamecarError
from samecar.experiment import export as exporting
from samecar.experiment.composite import save_composite
from samecar.experiment.export import export
from samecar.hardware import machine
from samecar.models import build_embedder
from samecar.models.composite import CompositeEmbedder
from samecar.retrieval.export import copy_gallery
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import Sighting
from samecar.training import Run, RunData

HERE = machine("cpu", 0)


@pytest.fixture(autouse=True)
def _measure_shortly(monkeypatch):
    monkeypatch.setattr(exporting, "MEASURED_SECONDS", 0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twelve train and twenty test vehicles that are hard to tell apart: twos have nearly the same colours."""
    folder = tmp_path_factory.mktemp("crops")
    for vehicle in range(32):
        split = "train" if vehicle < 12 else "gallery"
        for camera in (1, 2):
            path = folder / split / f"v{vehicle:02d}_c{camera}.png"
            paint_picture(path, vehicle // 2, 4 * camera, vehicle)
            if camera == 1 and split == "gallery":
                (folder / "query").mkdir(exist_ok=True)
                shutil.copy(path, folder / "query" / path.name)
    return f"folder:{folder}/{{split}}/{{vehicle_id}}_{{camera_id}}.png"


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    """A trained and scored run."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    samecar.train(load_recipe("report-baseline", [*TINY, "batch.pictures_per_vehicle=2"]), source, folder, on=HERE)
    samecar.evaluate(folder, source, distance="cosine", on=HERE)
    return Run.open(folder)


@pytest.fixture(scope="module")
def exported(run, source, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "MEASURED_SECONDS", 0)
        return export(run, tmp_path_factory.mktemp("exported") / "first.onnx", data=source, on=HERE)


def picture_of(source, name):
    return source.removeprefix("folder:").partition("{")[0] + name


def cosine_scores(embeddings):
    """mAP of each query's one other picture among the gallery, by hand."""
    unit = embeddings.matrix.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    manifest = embeddings.manifest
    query, gallery = (np.flatnonzero(manifest.split == split) for split in ("query", "gallery"))
    found = []
    for row in query:
        same_vehicle = manifest.vehicle_id[gallery] == manifest.vehicle_id[row]
        others = gallery[~(same_vehicle & (manifest.camera_id[gallery] == manifest.camera_id[row]))]
        order = others[np.argsort(-(unit[others] @ unit[row]), kind="stable")]
        found.append(1 / (1 + int(np.flatnonzero(manifest.vehicle_id[order] == manifest.vehicle_id[row])[0])))
    return float(np.mean(found))


def test_a_trained_run_and_its_file_score_the_same(run, source, exported):
    before, after = exported.mean_average_precisions
    assert 0.2 < before < 0.95
    expected = cosine_scores(samecar.embed_with(run, source, on=HERE))
    assert before == pytest.approx(expected, abs=1e-9)
    assert after == pytest.approx(before, abs=0.002)
    assert 0.9999 < exported.cosine <= 1 + 1e-9
    assert min(exported.speed) > 0
    assert exported.as_dict()["mAP"] == {"before": before, "after": after}


def test_a_file_says_what_it_is(run, exported):
    facts = samecar.ExportedModel.open(exported.path).facts
    assert (facts.model, facts.precision, facts.licence) == (run.model_digest(), "fp32", None)
    assert facts.trained_on.vehicles == tuple(run.data.vehicles)
    assert facts.preprocessing == run.load_model().preprocessing
    (scores,) = facts.scores
    assert scores["protocol"]["model"] == run.model_digest()
    assert scores["mAP"] == pytest.approx(exported.mean_average_precisions[0])


def test_scores_of_an_earlier_model_are_not_told(run, source, tmp_path):
    changed = tiny_run(tmp_path / "run", seed=9)
    shutil.copytree(run.folder / "evaluations", changed.folder / "evaluations")
    export(changed, tmp_path / "m.onnx", on=HERE)
    assert samecar.ExportedModel.open(tmp_path / "m.onnx").facts.scores == ()


@pytest.mark.slow
def test_int8_is_calibrated_on_train_pictures(run, source, tmp_path):
    with pytest.raises(SamecarError, match="precision is 'int8', which is calibrated on train pictures; give their"):
        export(run, tmp_path / "m.onnx", precision="int8", on=HERE)
    out = done(
        *("export", run.folder, "--precision", "int8", "--data", source, "--tolerance", 30, "--cosine", 0.8),
        *("-o", tmp_path / "m.onnx", "--workers", 0),
    )
    assert "m.onnx: int8, " in out
    assert "pictures a second: " in out
    assert "mAP: " in out
    opened = samecar.ExportedModel.open(tmp_path / "m.onnx")
    assert opened.facts.calibrated_on == f"24 train pictures of {samecar.open_source(source).name}"
    assert opened.composition.startswith("exported as ONNX, int8, calibrated on 24 train pictures of ")


def test_what_does_not_agree_is_not_written(run, source, tmp_path, monkeypatch):
    write = exporting.write_onnx
    stranger = tiny_run(tmp_path / "stranger", seed=2).load_model()
    monkeypatch.setattr(exporting, "write_onnx", lambda network, path: write(stranger, path))
    with pytest.raises(SamecarError, match=r"m\.onnx is not written: an embedding of it has cosine .*, and"):
        export(run, tmp_path / "m.onnx", on=HERE)
    monkeypatch.setattr(exporting, "_compare_scores", lambda *_: (0.6049, 0.6020))
    sentence = r"m\.onnx is not written: its mAP is 60.20 and that of torch 60.49, and tolerance is 0.2 points"
    with pytest.raises(SamecarError, match=sentence):
        export(run, tmp_path / "m.onnx", data=source, cosine=1e-9, on=HERE)
    assert [path.name for path in tmp_path.iterdir()] == ["stranger"]
    export(run, tmp_path / "m.onnx", data=source, cosine=1e-9, tolerance=0.3, on=HERE)
    assert (tmp_path / "m.onnx").is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-o", "m.pt"], "--out is 'm.pt'; an exported model ends in .onnx"),
        (["--format", "tflite"], "--format is 'tflite'; it can be onnx or openvino"),
        (["--precision", "fp16"], "--precision is 'fp16'; it can be fp32 or bf16 or int8"),
        (
            ["--precision", "bf16"],
            "--precision is 'bf16', which onnxruntime does not compute with here; give",
        ),
        (["--precision", "int8"], "--precision is 'int8', which is calibrated on train pictures; give their source"),
        (["--cosine", "1.5"], "--cosine is 1.5; give a number above 0 and at most 1"),
        (["--tolerance", "-1"], "--tolerance is -1.0; give points of mAP from 0 to 100"),
    ],
)
def test_options_that_are_not_allowed_are_one_sentence(run, tmp_path, options, sentence):
    out = () if "-o" in options else ("-o", tmp_path / "m.onnx")
    assert sentence in refused("export", run.folder, *out, *options)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_named(run, exported, tmp_path):
    out = tmp_path / "m.onnx"
    assert "is an exported model, without the network of torch" in refused("export", exported.path, "-o", out)
    assert "gone is not there" in refused("export", tmp_path / "gone", "-o", out)
    told = tiny_run(tmp_path / "told")
    settings = told.recipe.model.model_copy(update={"side_information": "camera"})
    told.recipe = told.recipe.model_copy(update={"model": settings})
    with pytest.raises(SamecarError, match=r"side_information 'camera'.*which an exported file cannot tell it"):
        export(told, out, on=HERE)
    assert not out.exists()


@pytest.mark.slow
def test_a_composite_is_exported_with_what_it_is_made_of(tmp_path):
    torch_model = tiny_run(tmp_path / "a").load_model()
    fused = CompositeEmbedder([torch_model, build_embedder(torch_model.settings, 0)], [0.3, 0.7]).eval()
    known = {"initial_weights": "none", "epoch_choice": "last epoch", "seed": 1}
    model = save_composite(
        tmp_path / "fused",
        fused,
        [{**known, "weight": 0.3}, {**known, "weight": 0.7}],
        RunData("painted", "0" * 16, 6, ["a", "b"]),
        chosen_on={"vehicles": 8, "kind": "held-out train vehicles"},
        reduction=None,
    )
    export(model, tmp_path / "fused.onnx", on=HERE)
    opened = samecar.ExportedModel.open(tmp_path / "fused.onnx")
    assert opened.composition.endswith(f"{model.model_digest()}: {model.composition}")
    assert opened.data.vehicles == ("a", "b")


# taken wherever a run is


def test_evaluate_scores_it(exported, run, source):
    scores = json.loads(done("evaluate", exported.path, "--data", source, "--workers", 0, "--json"))
    assert scores["mAP"] == pytest.approx(exported.mean_average_precisions[1])
    card = scores["protocol"]
    assert card["model"].startswith(f"{exported.digest}: exported as ONNX, fp32, of model {run.model_digest()}")
    assert card["distance"] == "cosine"
    results = exported.path.with_name("first.onnx.results")
    assert (results / "report.html").is_file()
    assert len(list((results / "evaluations").glob("*.json"))) == 1
    assert "12 test vehicles" not in done("evaluate", exported.path, "--data", source, "--workers", 0)


def test_embed_gives_what_torch_gives(exported, run, source, tmp_path):
    done("embed", exported.path, source, "-o", tmp_path / "ours.npz", "--workers", 0)
    ours = samecar.Embeddings.load(tmp_path / "ours.npz")
    theirs = samecar.embed_with(run, source, on=HERE).matrix
    assert ours.model == exported.digest
    np.testing.assert_allclose(ours.matrix, theirs / np.linalg.norm(theirs, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.slow
def test_calibrate_and_compare_take_it(exported, source, tmp_path):
    done("calibrate", exported.path, "--data", source, "--test-vehicles", "--workers", 0)
    kept = json.loads((exported.path.with_name("first.onnx.results") / "calibration.json").read_text())
    assert exported.digest in json.dumps(kept)
    pictures = [picture_of(source, f"gallery/v12_c{camera}.png") for camera in (1, 2)]
    likeness = json.loads(done("compare", *pictures, "--run", exported.path, "--json"))
    assert likeness["probability"] is not None
    encoder = Encoder.open(exported.path)
    first, second = encoder.embed([Image.open(path).convert("RGB") for path in pictures])
    assert likeness["similarity"] == pytest.approx(float(first @ second), abs=1e-6)


def test_calibrate_refuses_vehicles_that_its_model_was_trained_on(exported, source):
    assert "first.onnx was not trained on" in refused("calibrate", exported.path, "--data", source, "--workers", 0)


def test_a_gallery_is_bound_to_the_files_digest_and_keeps_it(exported, source, tmp_path):
    garage, again = tmp_path / "garage", tmp_path / "again"
    assert exported.digest in done("gallery", "create", garage, "--run", exported.path)
    done("gallery", "add", garage, picture_of(source, "gallery"))
    found = json.loads(done("search", garage, picture_of(source, "query/v20_c1.png"), "--top", 1, "--json"))
    assert found["results"][0]["similarity"] == pytest.approx(1, abs=1e-6)
    with Gallery.open(garage) as gallery:
        assert gallery.facts.model == exported.digest
        assert gallery.engine.attached("model.onnx") == exported.path.read_bytes()
        assert gallery.engine.attached("model.safetensors") is None
        assert gallery.check() == []
        with Gallery.create(again, gallery.model) as copied:
            copy_gallery(gallery.engine, copied.engine)
            assert copied.check() == []
            assert copied.engine.summary().pictures == gallery.engine.summary().pictures == 40
    with pytest.raises(SamecarError, match="the gallery's model is an exported file already; export the run"):
        export(Gallery.open(garage), tmp_path / "m.onnx", on=HERE)


def test_a_service_and_a_passage_are_embedded_by_it(exported, source, tmp_path):
    pictures = [Image.open(picture_of(source, f"gallery/v12_c{camera}.png")).convert("RGB") for camera in (1, 2)]
    with Gallery.create(tmp_path / "garage", Encoder.open(exported.path)) as gallery:
        number = gallery.add_pooled(Sighting("one passage"), pictures)
        (kept,) = gallery.engine.embeddings([number])
    mean = Encoder.open(exported.path).embed(pictures).mean(axis=0)
    np.testing.assert_allclose(kept, mean / np.linalg.norm(mean), atol=1e-3)  # which a gallery keeps in 16 bits
    with serving(tmp_path / "garage") as client, Path(picture_of(source, "gallery/v12_c1.png")).open("rb") as file:
        answer = client.post("/api/search", files={"picture": file}).json()
    first = Encoder.open(exported.path).embed(pictures[:1])[0]
    assert answer["results"][0]["similarity"] == pytest.approx(float(first @ kept), abs=1e-3)


def test_a_gallerys_model_is_exported_without_its_run(run, tmp_path):
    with Gallery.create(tmp_path / "garage", samecar.bound_model(run, on=HERE)):
        pass
    out = done("export", tmp_path / "garage", "-o", tmp_path / "m.onnx", "--workers", 0)
    assert "cosine with torch: 1.000000 at least, 0.9999 needed, in batches of 1, 3 and 32 of made-up pictures" in out
    opened = samecar.ExportedModel.open(tmp_path / "m.onnx")
    assert opened.facts.model == run.model_digest()
    assert (opened.facts.recipe, opened.facts.trained_on) == (run.recipe.digest, None)
    assert opened.facts.epoch_choice == run.model_facts()["epoch_choice"]


def test_the_licence_is_that_of_published_weights_where_no_run_tells_it():
    from samecar.models.weights.sources import stated_licence

    settings = ModelSettings(backbone="resnet18", weights="timm:resnet18.a1_in1k")
    assert stated_licence(settings) == "apache-2.0"
    assert stated_licence(ModelSettings(backbone="resnet18", weights="none")) is None
    assert stated_licence(ModelSettings(backbone="resnet18", weights="package:not-here")) is None


def test_what_needs_torchs_network_refuses_it_by_name(exported, run, source, tmp_path):
    sentence = "first.onnx is an exported model, without the network of torch that this needs"
    assert sentence in refused("reduce", exported.path, "--data", source, "--size", 2, "-o", tmp_path / "r")
    assert "an exported model has no network of torch" in refused(
        "plot", "features", "--run", exported.path, picture_of(source, "query/v20_c1.png"), "-o", tmp_path / "f.png"
    )
