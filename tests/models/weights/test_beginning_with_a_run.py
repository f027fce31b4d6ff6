"""`model.weights = runs/first`: what of a trained model fits another one."""

import json

import pytest
import torch
from command_line import done, tiny
from conftest import TINY

from samecar.config import ModelSettings, load_recipe
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.models.describing import describe_weights
from samecar.models.saved import save_model
from samecar.training import Run, RunData

SMALL = {"backbone": "test_resnet", "weights": "none", "height": 32, "width": 32}


def first_run(folder, vehicles=3, **settings):
    """A run that began with weights of some name, and its model."""
    recipe = load_recipe("report-baseline", TINY)
    recipe = recipe.model_copy(update={"model": ModelSettings(**(SMALL | settings))})
    run = Run.create(folder, recipe, RunData("painted", "0" * 16, 6, ["a", "b", "c"]))
    described = json.loads((folder / "run.json").read_text())
    began_with = {"name": "timm:start", "file": "x", "sha256": "1" * 64, "licence": "mit", "address": None}
    (folder / "run.json").write_text(json.dumps(described | {"weights": began_with}))
    torch.manual_seed(5)
    model = build_embedder(recipe.model, vehicles)
    run.save_model(model, "model", epoch=1, epoch_choice="last epoch")
    return model


def begin(folder, vehicles=4, **settings):
    torch.manual_seed(9)
    return build_embedder(ModelSettings(**(SMALL | {"weights": str(folder)} | settings)), vehicles)


def test_all_but_the_classifier_is_that_of_the_run(tmp_path):
    first = first_run(tmp_path / "first", head="fc-bn-fc", embedding_size=8, fusion="add", attention="se")
    second = begin(tmp_path / "first", head="fc-bn-fc", embedding_size=8, fusion="add", attention="se")
    ours, theirs = second.state_dict(), first.state_dict()
    for key, tensor in theirs.items():
        assert key.startswith("classifier.") or torch.equal(ours[key], tensor), key
    assert ours["classifier.weight"].shape == (4, 8)
    pictures = torch.rand(2, 3, 32, 32)
    assert torch.equal(first.eval()(pictures), second.eval()(pictures))


def test_classifiers_of_as_many_vehicles_begin_anew_too(tmp_path):
    first, second = first_run(tmp_path / "first"), begin(tmp_path / "first", vehicles=3)
    assert second.classifier.weight.shape == first.classifier.weight.shape
    assert not torch.equal(second.classifier.weight, first.classifier.weight)


def test_what_does_not_fit_begins_anew_and_is_said(tmp_path):
    first = first_run(tmp_path / "first", head="fc-bn-fc", embedding_size=8)
    second = begin(tmp_path / "first", head="fc-bn-fc", embedding_size=16, neck="batch-norm")
    assert torch.equal(second.backbone.model.state_dict()["conv1.0.weight"], first.backbone.model.conv1[0].weight)
    tensors = sum(not key.endswith("num_batches_tracked") for key in first.backbone.state_dict())
    assert second.weights.taken == (
        f"{tensors} of {tensors} tensors of backbone, 0 of 6 tensors of head, 0 of 4 tensors of neck"
    )


def test_run_json_names_the_run_and_what_it_began_with(tmp_path):
    first_run(tmp_path / "first")
    noted = begin(tmp_path / "first").weights.as_dict()
    assert (noted["name"], noted["file"], noted["licence"]) == ("run:first", "model.safetensors", None)
    assert noted["began_with"]["name"] == "timm:start"
    assert describe_weights(noted) == (
        f"run:first (SHA-256 {noted['sha256'][:16]}, licence not stated; it began with timm:start (SHA-256 "
        f"{'1' * 16}, licence mit))"
    )


def test_a_saved_model_without_its_run_does_too(tmp_path):
    first = first_run(tmp_path / "first")
    save_model(first, tmp_path / "alone")
    second = begin(tmp_path / "alone")
    assert torch.equal(second.backbone.model.conv1[0].weight, first.backbone.model.conv1[0].weight)
    assert describe_weights(second.weights.as_dict()).endswith("it began with not stated)")


def test_transformers_positions_are_resized(tmp_path):
    first = first_run(tmp_path / "first", backbone="test_vit", height=160, width=160)
    second = begin(tmp_path / "first", backbone="test_vit", height=192, width=192).backbone.model
    assert second.pos_embed.shape == (1, 1 + 12 * 12, 64)
    assert torch.equal(second.pos_embed[0, 0], first.backbone.model.pos_embed[0, 0])  # of the class token


def test_what_was_learned_of_other_cameras_begins_anew(tmp_path):
    told = {"backbone": "test_vit", "height": 160, "width": 160, "side_information": "camera"}
    first = first_run(tmp_path / "first", side_cameras=("a", "b"), **told)
    (key,) = [key for key in first.state_dict() if "side" in key]
    for cameras, same in ((("a", "b"), True), (("b", "c"), False)):
        second = begin(tmp_path / "first", side_cameras=cameras, **told)
        assert torch.equal(second.state_dict()[key], first.state_dict()[key]) == same
        assert torch.equal(second.backbone.model.cls_token, first.backbone.model.cls_token)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"backbone": "test_efficientnet"}, "has backbone 'test_resnet' and the recipe has 'test_efficientnet'"),
        ({"attention": "se"}, r"fits \d+% of the backbone's numbers, and 95% are needed; give a run with"),
        (
            {"batch_norm_epsilon": 0.5},
            "with another normalisation than the recipe has; set model.batch_norm_epsi",
        ),
        ({"colour_mean": (0.4, 0.4, 0.4)}, r"set model.colour_mean=\[0.5, 0.5, 0.5\]"),
    ],
)
def test_runs_that_do_not_fit_are_refused(settings, sentence, tmp_path):
    first_run(tmp_path / "first")
    with pytest.raises(SamecarError, match=sentence):
        begin(tmp_path / "first", **settings)


def test_a_run_that_has_not_ended_is_refused(tmp_path):
    recipe = load_recipe("report-baseline", TINY)
    Run.create(tmp_path / "first", recipe, RunData("painted", "0" * 16, 6, ["a", "b", "c"]))
    with pytest.raises(SamecarError, match="first has no trained model yet; finish it with `samecar train … --resume`"):
        begin(tmp_path / "first")


def test_training_begins_with_a_run_and_goes_on_without_it(painted_source, tmp_path):
    first_run(tmp_path / "base", batch_norm_epsilon=0.001, batch_norm_momentum=0.01)  # as the recipe has it
    options = tiny("training.epochs=1", f"model.weights={tmp_path / 'base'}")
    told = done("train", "report-baseline", "--data", painted_source, "-o", tmp_path / "second", *options)
    assert "It began with run:base:" in told
    noted = json.loads((tmp_path / "second" / "run.json").read_text())["weights"]
    assert noted["began_with"]["sha256"] == "1" * 64
    assert noted["taken"] == "75 of 75 tensors of backbone"
    (tmp_path / "base").rename(tmp_path / "gone")
    assert Run.open(tmp_path / "second").load_model().vehicles == 8
