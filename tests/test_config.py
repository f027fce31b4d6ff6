import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from samecar.config import Recipe, known_options, load_recipe, parse_recipe, shipped_recipes
from samecar.errors import SamecarError


def test_importing_samecar_is_quick_and_leaves_torch_alone():
    code = (
        "import sys, time; start = time.process_time(); import samecar; "
        "print(time.process_time() - start, 'torch' in sys.modules)"
    )
    seconds, torch_loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(seconds) < 0.2
    assert torch_loaded == "False"


def test_defaults_are_the_reports_common_base():
    recipe = Recipe()
    assert (recipe.model.backbone, recipe.model.height, recipe.model.width) == ("mobilenetv3_small_100", 224, 224)
    assert (recipe.batch.pictures_per_vehicle, recipe.training.epochs, recipe.training.seed) == (4, 60, 1)
    assert (recipe.optimizer.learning_rate, recipe.optimizer.weight_decay) == (1e-4, 5e-4)
    assert (recipe.schedule.milestones, recipe.schedule.factor) == ((20, 40), 0.1)
    assert (recipe.loss.cross_entropy, recipe.loss.triplet, recipe.loss.margin) == (1, 1, 0.3)
    assert (recipe.augmentation.translation, recipe.augmentation.flip, recipe.augmentation.erasing) == (0.5, 0.5, 0)


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_valid_and_described(name):
    recipe = load_recipe(name)
    assert recipe.title
    assert recipe.description


def test_recipe_inherits_from_its_base(tmp_path):
    (tmp_path / "base.toml").write_text('[model]\nweights = "none"\nheight = 64\n[training]\nepochs = 5\n')
    (tmp_path / "child.toml").write_text('base = "base.toml"\n[model]\nheight = 96\n')
    recipe = load_recipe(str(tmp_path / "child.toml"))
    assert (recipe.model.weights, recipe.model.height, recipe.training.epochs) == ("none", 96, 5)


def test_a_recipe_cannot_be_its_own_base(tmp_path):
    (tmp_path / "loop.toml").write_text('base = "loop.toml"\n')
    with pytest.raises(SamecarError, match="circle"):
        load_recipe(str(tmp_path / "loop.toml"))


def test_bases_that_go_round_in_circles_are_refused(tmp_path):
    (tmp_path / "first.toml").write_text('base = "second.toml"\n')
    (tmp_path / "second.toml").write_text('base = "first.toml"\n')
    with pytest.raises(SamecarError, match="circle"):
        load_recipe(str(tmp_path / "first.toml"))


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("training.epochs=3", lambda recipe: recipe.training.epochs == 3),
        ("optimizer.learning_rate=1e-3", lambda recipe: recipe.optimizer.learning_rate == 1e-3),
        ("optimizer.name=sgd", lambda recipe: recipe.optimizer.name == "sgd"),
        ('optimizer.name="sgd"', lambda recipe: recipe.optimizer.name == "sgd"),
        ("schedule.milestones=[1, 2]", lambda recipe: recipe.schedule.milestones == (1, 2)),
        ("augmentation.jitter=true", lambda recipe: recipe.augmentation.jitter is True),
        ("title=my run", lambda recipe: recipe.title == "my run"),
    ],
)
def test_set_changes_an_option(change, value):
    assert value(load_recipe("report-baseline", [change]))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"optimizer": {"learning_rat": 1}}, "optimizer.learning_rat; did you mean optimizer.learning_rate?"),
        ({"optimizer": {"zzz": 1}}, "known are optimizer.name, optimizer.learning_rate"),
        ({"zzz": 1}, "unknown option zzz; known are title"),
        ({"training": {"epochs": "many"}}, "training.epochs is 'many'"),
        ({"training": {"epochs": 0}}, "training.epochs is 0"),
        ({"batch": {"size": 30}}, "size 30 is not a multiple of pictures_per_vehicle 4; 32 would be"),
        ({"model": {"head": "fc"}}, "embedding_size is not given"),
        ({"model": {"embedding_size": 128}}, "head is 'none'"),
        ({"optimizer": {"name": "sgd", "amsgrad": True}}, "amsgrad is an option of 'adamw'"),
        ({"schedule": {"milestones": [40, 20]}}, "must rise"),
        ({"augmentation": {"flip": 1.5}}, "augmentation.flip is 1.5"),
    ],
)
def test_bad_options_are_named_with_what_is_allowed(content, sentence):
    with pytest.raises(SamecarError) as error:
        parse_recipe(content, "mine.toml")
    assert str(error.value).startswith("recipe mine.toml: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("training.epoch=3", "did you mean training.epochs?"),
        ("training.epochs", "not of the form"),
        ("training.epochs=", "training.epochs is ''"),
        ("model=resnet18", "unknown option model"),
    ],
)
def test_bad_changes_are_refused(change, sentence):
    with pytest.raises(SamecarError, match=sentence.replace("?", r"\?")):
        load_recipe("report-baseline", [change])


def test_a_recipe_that_is_not_there_or_not_toml(tmp_path):
    with pytest.raises(SamecarError, match="report-baseline"):
        load_recipe("no-such-recipe")
    broken = tmp_path / "broken.toml"
    broken.write_text("[model\n")
    with pytest.raises(SamecarError, match="not valid TOML"):
        load_recipe(str(broken))


def test_recipes_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().training.epochs = 3


def test_digest_changes_with_every_option_but_title_and_description():
    base = load_recipe("report-baseline")
    assert base.digest == load_recipe("report-baseline", ["title=x", "description=y"]).digest
    assert base.digest == Recipe.model_validate(json.loads(base.model_dump_json())).digest
    changed = {
        load_recipe("report-baseline", [change]).digest
        for change in ("batch.size=64", "model.zero_bias=true", "training.seed=2")
    }
    assert len(changed | {base.digest}) == 4


def test_later_options_change_the_digest_only_where_they_are_chosen():
    base = load_recipe("small-set")
    as_default = load_recipe("small-set", ["optimizer.betas=[0.9, 0.999]", "model.initialisation=kaiming"])
    assert as_default.digest == base.digest
    changes = ("optimizer.betas=[0.9, 0.99]", "model.initialisation=torch", "augmentation.jitter_hue=0.1")
    assert len({base.digest, *(load_recipe("small-set", [change]).digest for change in changes)}) == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("optimizer.momentum=0.5", "momentum is 0.5 but name is 'adam'; choose rmsprop or sgd, or leave momentum out"),
        ("optimizer.alpha=0.5", "alpha is 0.5 but name is 'adam'; choose rmsprop, or leave alpha out"),
        ("augmentation.jitter_hue=0.1", "jitter_hue is 0.1 but jitter is off; set jitter to true, or leave jitter_hue"),
        ("augmentation.erasing_area=[0.1,0.2]", "erasing_area is (0.1, 0.2) but erasing is off"),
        ("augmentation.jitter_hue=0.7", "augmentation.jitter_hue is 0.7: input should be less than or equal to 0.5"),
        ("augmentation.policy_probability=0.5", "policy is off; set policy to 'autoaugment', 'randaugment' or 'trivi"),
        (
            "augmentation.randaugment_magnitude=5",
            "policy is 'none'; set policy to 'randaugment', or leave",
        ),
        (
            "augmentation.randaugment_magnitude=31",
            "randaugment_magnitude is 31: input should be less than 31",
        ),
        ("augmentation.blur_sigma=[1, 2]", "blur_sigma is (1.0, 2.0) but blur is off; set blur to a probability, or"),
        ("augmentation.grey_patches_ratio=[1, 2]", "but grey_patches is off; set grey_patches to a probability"),
        ("augmentation.pad=-1", "augmentation.pad is -1: input should be greater than or equal to 0"),
        ("augmentation.policy=augmix", "augmentation.policy is 'augmix'"),
        ("optimizer.betas=[0.9, 1.0]", "optimizer.betas.1 is 1.0"),
        ("optimizer.head_rate=0", "optimizer.head_rate is 0"),
        ("optimizer.layer_decay=1.1", "optimizer.layer_decay is 1.1"),
        ("training.ema=1", "training.ema is 1"),
        ("training.accumulation=0", "training.accumulation is 0"),
        ("training.frozen=head", "training.frozen is 'head'"),
        ("training.frozen=all-but-last-stage", "freeze_backbone_epochs is 0; give freeze_backbone_epochs, or leave"),
        ("training.patience=3", "patience is 3 but validation is 0; set validation to a share such as 0.1, or leave"),
        ("schedule.minimum=0.1", "minimum is 0.1 but decay is 'multi-step'; choose 'cosine', or leave minimum out"),
        ("schedule.per_step=true", "decay is 'multi-step' without warm-up, which changes nothing within an epoch"),
        ("model.initialisation=xavier", "model.initialisation is 'xavier'"),
    ],
)
def test_options_that_nothing_would_read_are_refused(change, sentence):
    with pytest.raises(SamecarError) as error:
        load_recipe("report-baseline", [change])
    assert sentence in str(error.value)


def test_options_of_one_policy_are_refused_with_another():
    with pytest.raises(SamecarError, match="randaugment_operations is 3 but policy is 'autoaugment'; set policy to"):
        parse_recipe({"augmentation": {"policy": "autoaugment", "randaugment_operations": 3}}, "mine.toml")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            ["schedule.warmup_epochs=2", "schedule.warmup_start=0"],
            "the first epoch would learn nothing; set per_step to",
        ),
        (
            ["optimizer.weight_decay=0", "optimizer.decay_norms_and_biases=false"],
            "decay_norms_and_biases is False but weight_decay is 0; give weight_decay, or leave",
        ),
    ],
)
def test_options_that_do_nothing_together_are_refused(changes, sentence):
    with pytest.raises(SamecarError) as error:
        load_recipe("report-baseline", changes)
    assert sentence in str(error.value)


def test_a_warm_up_from_nothing_goes_with_rates_per_step():
    changes = ["schedule.warmup_epochs=2", "schedule.warmup_start=0", "schedule.per_step=true"]
    assert load_recipe("report-baseline", changes).schedule.warmup_start == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"erasing_area": (0.4, 0.1)}, "erasing_area is [0.4, 0.1]; give the least and then the most, and at most 1"),
        ({"erasing_area": (0.4, 1.1)}, "erasing_area is [0.4, 1.1]; give the least and then the most, and at most 1"),
        ({"erasing_area": (1.0, 1.0)}, "give the least and then the most, and at most 1, the least below 1"),
        (
            {"grey_patches_area": (0.4, 1.1)},
            "grey_patches_area is [0.4, 1.1]; give the least and then the most",
        ),
        ({"blur_sigma": (2, 1)}, "blur_sigma is [2.0, 1.0]; give the least and then the most"),
        ({"erasing_ratio": (2, 1)}, "erasing_ratio is [2.0, 1.0]; give the least and then the most"),
    ],
)
def test_ranges_go_from_the_least_to_the_most(options, sentence):
    with pytest.raises(SamecarError) as error:
        parse_recipe({"augmentation": {"erasing": 0.5, "blur": 0.5, "grey_patches": 0.5} | options}, "mine.toml")
    assert sentence in str(error.value)


@given(st.sampled_from(known_options()), st.text(max_size=8))
def test_any_value_gives_a_recipe_or_one_sentence(option, text):
    try:
        assert isinstance(load_recipe("report-baseline", [f"{option}={text}"]), Recipe)
    except SamecarError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most values are fine
