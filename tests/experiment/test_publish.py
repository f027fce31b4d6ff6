import json

import numpy as np
import pytest
from command_line import done, refused
from huggingface_hub import ModelCard
from PIL import Image
from plain_onnx import write_model
from tiny_run import tiny_run

import samecar
from samecar.embedding.foreign import state_preprocessing
from samecar.experiment.model_card import write_card
from samecar.experiment.publish import _find_facts
from samecar.training import RunData

PICTURE = Image.new("RGB", (50, 40), (200, 30, 90))
PARTS = (
    "How to use it",
    "Intended use",
    "Misuse",
    "Privacy",
    "Training data",
    "Licence",
    "Scores",
    "What it is made of",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with scores of its model, and with others that an earlier state of it had."""
    data = RunData("folder:a|b", "0123456789abcdef", 1234, ["plate-1", "plate-2"])
    run = tiny_run(tmp_path_factory.mktemp("runs") / "first", data=data)
    for name, digest, score in (("now", run.model_digest(), 0.4567), ("before", "f" * 16, 0.9999)):
        scores = {
            "mAP": score,
            "cmc": {"1": 0.5, "5": 0.75},
            "intervals": {"mAP": [0.4, 0.5], "rank-1": [None, None]},
            "protocol": {"protocol": "plain", "data": "<b>yard</b>", "model": digest, "seed": None, "ties": "first"},
        }
        (run.folder / "evaluations").mkdir(exist_ok=True)
        (run.folder / "evaluations" / f"{name}.json").write_text(json.dumps(scores))
    return run


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    return samecar.save_pretrained(run, tmp_path_factory.mktemp("published") / "yard-model", licence="cc-by-nc-4.0")


def test_the_folder_is_a_model_that_embeds_as_the_run_does(run, published):
    assert sorted(path.name for path in published.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    model = samecar.load(published, device="cpu")
    assert model.digest == run.model_digest()
    np.testing.assert_array_equal(model.embed([PICTURE]), samecar.load(run, device="cpu").embed([PICTURE]))


def test_the_hub_reads_the_head_of_the_card(published):
    head = ModelCard.load(published / "README.md").data
    assert (head.license, head.library_name) == ("cc-by-nc-4.0", "samecar")
    assert "vehicle-re-identification" in head.tags
    assert head.model_name == "yard-model"
    assert {result.metric_name: result.metric_value for result in head.eval_results} == {
        "mAP": 45.67,
        "rank-1": 50,
        "rank-5": 75,
    }
    assert {(result.dataset_name, result.dataset_config) for result in head.eval_results} == {("<b>yard</b>", "plain")}


def test_the_card_says_what_the_model_is_for_and_under_which_rules_it_was_scored(run, published):
    text = (published / "README.md").read_text(encoding="utf-8").partition("\n---\n")[2]
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == list(PARTS)
    assert "| mAP | 45.7 | 40.0 to 50.0 |\n| rank-1 | 50.0 |  |\n" in text
    assert f"| model | {run.model_digest()} |\n| seed | – |\n| ties | first |" in text
    assert "99.9" not in text
    assert "1,234 pictures of 2 vehicles: `folder:a\\|b` (digest of their list `0123456789abcdef`)" in text
    assert "### &lt;b&gt;yard&lt;/b&gt;, plain" in text
    assert "plate-1" not in text
    assert "The model: `cc-by-nc-4.0`. Weights that its training began with: " in text


def test_a_model_without_scores_or_known_data_says_so(tmp_path):
    path = write_model(tmp_path / "colours.onnx")
    state_preprocessing(path, "24x16:half")
    folder = samecar.save_pretrained(path, tmp_path / "colours")
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "model.onnx", "model.onnx.json"]
    assert samecar.load(folder).digest == samecar.load(path).digest
    np.testing.assert_array_equal(samecar.load(folder).embed([PICTURE]), samecar.load(path).embed([PICTURE]))
    text = (folder / "README.md").read_text(encoding="utf-8")
    for sentence in (
        "What it was trained on is not known.",
        "It was not evaluated",
        "No licence of the model was stated",
    ):
        assert sentence in text
    assert ModelCard.load(folder / "README.md").data.license == "unknown"


def test_an_exported_file_shows_its_own_scores_or_else_those_of_its_model(run, tmp_path, monkeypatch):
    from samecar.experiment import export as exporting

    monkeypatch.setattr(exporting, "MEASURED_SECONDS", 0)
    samecar.export(run, tmp_path / "first.onnx", on=samecar.machine("cpu", 0))
    exported = samecar.ExportedModel.open(tmp_path / "first.onnx")
    facts = _find_facts(exported, samecar.load(exported, device="cpu"))
    assert facts.model == exported.model_digest()
    assert [scores["mAP"] for scores in facts.scores] == [0.4567]
    assert "ONNX" in facts.composition
    assert "| rank-5 | 75.0 |" in write_card("first", facts, "other")
    own = {"mAP": 0.3, "cmc": {"1": 0.2}, "protocol": {"protocol": "plain", "data": "d", "model": facts.model}}
    (exported.folder / "evaluations").mkdir(parents=True)
    (exported.folder / "evaluations" / "own.json").write_text(json.dumps(own))
    assert [scores["mAP"] for scores in _find_facts(exported, samecar.load(exported)).scores] == [0.3]


def test_the_command(run, tmp_path):
    said = done("publish", run.folder, "-o", tmp_path / "new", "--licence", "mit", "--name", "Yard")
    assert said.splitlines()[0] == f"{tmp_path}/new: a model for the hub; nothing was uploaded"
    assert said.endswith(f"hf upload ORGANISATION/new {tmp_path}/new\n")
    assert "\n# Yard\n" in (tmp_path / "new" / "README.md").read_text(encoding="utf-8")


def test_bad_input_is_one_sentence(run, published, tmp_path):
    for options, sentence in {
        ("-o", published): f"{published} cannot be made: Directory not empty; name a new folder",
        ("-o", tmp_path / "new", "--licence", "MIT License"): "--licence is 'MIT License'; give it as the hub spells",
        ("-o", tmp_path / "new", "--licence", ""): "--licence is ''; give it",
    }.items():
        assert sentence in refused("publish", run.folder, *options)
    assert "no/run is not there" in refused("publish", "no/run", "-o", tmp_path / "new")
    assert not (tmp_path / "new").exists()
