"""Both stages of CLIP-ReID in one training, on a tiny CLIP with random weights."""

import pytest
import timm
import torch
from command_line import run as run_command
from command_line import tiny
from conftest import TINY
from safetensors.torch import load_file, save_file
from tiny_clip import BACKBONE, NAME, WIDTH, register

from samecar.config import load_recipe
from samecar.data import as_manifest
from samecar.data.dataset import unchanged_loader
from samecar.errors import SamecarError
from samecar.experiment.evaluate import score_run
from samecar.experiment.prompts import read_projections
from samecar.experiment.train import initial_model, train
from samecar.hardware import machine
from samecar.progress import silent
from samecar.training.prompts import PROMPTS_FILE, LearnedPrompts

HERE = machine("cpu", 0)
CHANGES = [
    *TINY,
    f"model.backbone={BACKBONE}",
    "model.tokens=class",
    "model.projection=true",
    "model.neck=batch-norm",
    "model.embedding=before",
    "loss.cross_entropy=0.25",
    "loss.label_smoothing=0.1",
    "loss.image_to_text.weight=1",
    f"prompts.text_tower={NAME}",
    "prompts.weights=none",
    "prompts.epochs=3",
    "prompts.warmup_epochs=1",
    "prompts.batch_size=8",
]


PROMPTS_AT_DEFAULT = [
    "prompts.weights=openai",
    "prompts.epochs=60",
    "prompts.warmup_epochs=5",
    "prompts.batch_size=64",
]


@pytest.fixture(scope="module", autouse=True)
def tower(tmp_path_factory):
    register(tmp_path_factory.mktemp("clip"))
    register(tmp_path_factory.mktemp("clip"), "wide-clip", embed_dim=2 * WIDTH)


def recipe_with(*changes):
    return load_recipe("report-baseline", [*CHANGES, *changes])


@pytest.fixture(scope="module")
def run(tmp_path_factory, painted_source):
    return train(recipe_with(), painted_source, tmp_path_factory.mktemp("both") / "run", on=HERE)


def tensors_of(run):
    return load_file(run.folder / "model" / "model.safetensors")


def metrics_of(run):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in run.metrics()]


def assert_same_end(first, second):
    mine, theirs = tensors_of(first), tensors_of(second)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert metrics_of(first) == metrics_of(second)


def interrupted_at(task, done):
    """A progress that interrupts the work there."""

    def interrupt(name, so_far, total, note=""):
        if name == task and so_far >= done:
            raise KeyboardInterrupt

    return interrupt


def test_a_run_holds_the_texts_and_their_loss(run, painted_source):
    learned = LearnedPrompts.load(run.folder / PROMPTS_FILE)
    assert list(learned.vehicles) == run.data.vehicles
    assert learned.texts.shape == (len(run.data.vehicles), WIDTH)
    assert learned.tokens.shape == (len(run.data.vehicles), 4, 16)
    assert (learned.origin["text_tower"], learned.origin["weights"]) == (NAME, "none")
    assert {"cross_entropy", "triplet", "image_to_text"} <= set(run.metrics()[-1])
    kept = load_file(run.folder / "checkpoints" / "epoch-0002" / "objective.safetensors")
    assert torch.equal(kept["losses.image_to_text.0.texts"][:, -WIDTH:], learned.texts)
    assert score_run(run, painted_source, on=HERE).evaluation.mean_average_precision > 0


def test_projections_of_all_pictures_are_read_without_changes(run, painted_source):
    learned = LearnedPrompts.load(run.folder / PROMPTS_FILE)
    training = as_manifest(painted_source).of_split("train")
    labels = [list(learned.vehicles).index(vehicle) for vehicle in training.vehicle_id]
    model = initial_model(recipe_with(), len(learned.vehicles))
    features, seen = read_projections(model, training, torch.tensor(labels).numpy(), workers=0, progress=silent)
    assert seen.tolist() == labels
    with torch.no_grad():
        (batch,) = unchanged_loader(training, seen.numpy(), model.preprocessing, batch_size=len(seen))
        whole = model.eval().outputs(batch.pictures)
    torch.testing.assert_close(features, whole.features[:, -WIDTH:])
    assert whole.features.shape[1] == 16 + WIDTH
    projection = model.backbone.model.head
    torch.testing.assert_close(features, projection(whole.features[:, :16]).detach())


@pytest.mark.parametrize(("task", "done"), [("prompts", 1), ("training", 0), ("training", 4)])
def test_an_interrupted_run_ends_as_one_that_was_not(task, done, run, painted_source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(recipe_with(), painted_source, tmp_path / "run", on=HERE, progress=interrupted_at(task, done))
    assert (tmp_path / "run" / PROMPTS_FILE).is_file() == (task == "training")
    if (task, done) == ("training", 0):
        assert_picture_tower_began_unchanged(tmp_path / "run")
    torch.manual_seed(99)
    told = []
    resumed = train(
        recipe_with(),
        painted_source,
        tmp_path / "run",
        resume=True,
        on=HERE,
        progress=lambda name, *_: told.append(name),
    )
    assert ("prompts" in told) == (task != "training")
    assert_same_end(resumed, run)
    mine, theirs = (LearnedPrompts.load(each.folder / PROMPTS_FILE) for each in (resumed, run))
    assert torch.equal(mine.tokens, theirs.tokens)


def assert_picture_tower_began_unchanged(folder):
    """After prompts were learned the first checkpoint has what a model begins with, bit for bit."""
    kept = load_file(folder / "checkpoints" / "epoch-0000" / "model.safetensors")
    began = initial_model(recipe_with(), 1).backbone.state_dict()
    assert all(torch.equal(kept[f"backbone.{name}"], tensor) for name, tensor in began.items())


def test_texts_that_were_learned_before_training_began_are_taken(run, painted_source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(recipe_with(), painted_source, tmp_path / "run", on=HERE, progress=interrupted_at("prompts", 1))
    (tmp_path / "run" / PROMPTS_FILE).write_bytes((run.folder / PROMPTS_FILE).read_bytes())
    told = []
    resumed = train(
        recipe_with(),
        painted_source,
        tmp_path / "run",
        resume=True,
        on=HERE,
        progress=lambda name, *_: told.append(name),
    )
    assert set(told) == {"training"}
    assert_same_end(resumed, run)


def test_side_information_goes_with_prompts(painted_source, tmp_path):
    recipe = recipe_with("model.side_information=camera", "training.epochs=1", "schedule.milestones=[]")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, painted_source, tmp_path / "run", on=HERE, progress=interrupted_at("prompts", 1))
    resumed = train(recipe, painted_source, tmp_path / "run", resume=True, on=HERE)
    assert "image_to_text" in resumed.metrics()[-1]


def test_the_command_says_that_prompts_can_be_learned_again(painted_source, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("samecar.experiment.prompts.learn_prompts", interrupt)
    out = tmp_path / "run"
    command = ("train", "report-baseline", "--data", painted_source, "--out", out, "--device", "cpu")
    finished = run_command(*command, *tiny(*CHANGES))
    assert finished.status == 130
    assert finished.errors.endswith(
        f"error: interrupted; no epoch was finished; {out} is begun, and `--resume` goes on with it\n"
    )


def test_a_run_does_not_begin_again_with_other_weights(painted_source, tmp_path):
    begin = tmp_path / "begin.safetensors"
    write_weights(begin, seed=1)
    changes = [f"model.weights={begin}"]
    with pytest.raises(KeyboardInterrupt):
        train(recipe_with(*changes), painted_source, tmp_path / "run", on=HERE, progress=interrupted_at("prompts", 1))
    write_weights(begin, seed=2)
    with pytest.raises(SamecarError, match=r"began with other weights than .*put begin.safetensors back, or remove"):
        train(recipe_with(*changes), painted_source, tmp_path / "run", resume=True, on=HERE)


def write_weights(path, seed):
    torch.manual_seed(seed)
    save_file(timm.create_model(BACKBONE).state_dict(), path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["loss.image_to_text.weight=0"], r"prompts.text_tower is 'tiny-clip' but loss.image_to_text.weight is 0, so"),
        (
            [
                "prompts.text_tower=none",
                "prompts.epochs=60",
                "prompts.warmup_epochs=5",
                "prompts.batch_size=64",
                "prompts.weights=openai",
            ],
            r"loss.image_to_text.weight is 1 but prompts.text_tower is 'none', so there is no text to read; name",
        ),
        (["model.projection=false"], r"model.projection is False and model.head is 'none'; set projection to true"),
        (
            ["prompts.text_tower=wide-clip"],
            r"'wide-clip' gives 32 numbers for a text, and the projection of model.backbone .* 16 for a picture; name",
        ),
        (["prompts.text_tower=tinny-clip"], r"'tinny-clip', which OpenCLIP does not have; did you mean tiny-clip or"),
        (["prompts.tokens=40"], r"prompts.tokens 40 has 48 tokens, and the text tower reads 20; shorten it"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(changes, sentence, painted_source, tmp_path):
    with pytest.raises(SamecarError, match=sentence):
        train(recipe_with(*changes), painted_source, tmp_path / "run", on=HERE)
    assert not (tmp_path / "run" / "run.json").exists()


def test_options_of_prompts_that_nothing_reads_are_refused():
    with pytest.raises(SamecarError, match=r"prompts: epochs is 7 but text_tower is 'none', so no prompts are learned"):
        load_recipe("report-baseline", ["prompts.epochs=7"])
    with pytest.raises(SamecarError, match=r"template is 'A vehicle.', which must have \{\} once"):
        recipe_with("prompts.template='A vehicle.'")
    with pytest.raises(SamecarError, match=r"warmup_epochs is 3 but epochs is 3; let the warm-up be shorter"):
        recipe_with("prompts.warmup_epochs=3")
