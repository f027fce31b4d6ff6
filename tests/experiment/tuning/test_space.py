"""What is searched: how it is written, which recipes it gives, and what is refused."""

import optuna
import pytest

from samecar.config import change_recipe, load_recipe
from samecar.errors import SamecarError
from samecar.experiment.tuning.space import Choices, Numbers, read_space, value_of

RECIPE = load_recipe("edge")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loss.margin=0..1", Numbers("loss.margin", 0.0, 1.0, None, False, False)),
        ("loss.margin = 0.1 .. 0.5:0.1", Numbers("loss.margin", 0.1, 0.5, 0.1, False, False)),
        ("optimizer.learning_rate=1e-5..1e-3:log", Numbers("optimizer.learning_rate", 1e-5, 1e-3, None, True, False)),
        ("training.epochs=5..20", Numbers("training.epochs", 5, 20, None, False, True)),
        ("batch.size=16..64:16", Numbers("batch.size", 16, 64, 16, False, True)),
        ("model.pooling=average,gem", Choices("model.pooling", ("average", "gem"))),
        ("augmentation.jitter=true,false", Choices("augmentation.jitter", ("true", "false"))),
        ("schedule.milestones=[5, 9],[7]", Choices("schedule.milestones", ("[5, 9]", "[7]"))),
        ("model.pooling=gem", Choices("model.pooling", ("gem",))),
    ],
)
def test_ranges_and_choices_are_read(text, expected):
    assert read_space([text], RECIPE) == (expected,)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([], "nothing is to be tried; give --over at least once"),
        (["loss.margin"], "is not of the form option=LOW..HIGH"),
        (["loss.margin="], "is not of the form"),
        (["=1..2"], "is not of the form"),
        (["model.pooling=average,,gem"], "is not of the form"),
        (["loss.margin=1..2..3"], "is not of the form"),
        (["loss.margin=low..high"], "is not of the form"),
        (["loss.margin=0.1..0.3:often"], "is not of the form"),
        (["loss.margn=0..1"], "unknown option loss.margn; did you mean loss.margin"),
        (["loss.margin=1..0"], "1 is not below 0; give the smaller number first"),
        (["loss.margin=0..1:log"], "a logarithm needs numbers above 0"),
        (["loss.margin=0..1:2"], "the step is 2; give more than 0, and at most 1"),
        (["loss.margin=-1..1"], r"loss.margin is -1.0: input should be greater than or equal to 0"),
        (["loss.label_smoothing=0..1"], r"loss.label_smoothing is 1.0: input should be less than 1"),
        (["training.epochs=1.5..4"], "training.epochs takes whole numbers"),
        (["batch.size=15..17"], "size 15 is not a multiple of pictures_per_vehicle"),
        (["model.pooling=average,gme"], "model.pooling is 'gme'"),
        (["schedule.milestones=[5,[7]"], "has a bracket without its other one"),
        (["training.seed=1..9"], "training.seed decides how trials are scored"),
        (["training.validation=0.1,0.2"], "training.validation decides how trials are scored"),
        (["title=a,b"], "title decides how trials are scored"),
        (["loss.margin=0..1", "loss.margin=1..2"], "names loss.margin 2 times"),
    ],
)
def test_what_cannot_be_searched_is_refused(texts, sentence):
    with pytest.raises(SamecarError, match=sentence):
        read_space(texts, RECIPE)


def test_an_option_that_is_read_beside_another_is_allowed_beside_it():
    assert RECIPE.optimizer.name == "adam"
    with pytest.raises(SamecarError, match=r"momentum is 0.5 but name is 'adam'"):
        read_space(["optimizer.momentum=0.5..0.8"], RECIPE)
    assert len(read_space(["optimizer.momentum=0.5..0.8", "optimizer.name=adam,sgd"], RECIPE)) == 2


def test_a_trial_changes_the_recipe_by_what_was_suggested():
    space = read_space(
        ["optimizer.learning_rate=1e-5..1e-3:log", "batch.size=16..64:16", "model.pooling=average,gem"], RECIPE
    )
    values = {"optimizer.learning_rate": 0.00012345678901234567, "batch.size": 48, "model.pooling": "gem"}
    changed = change_recipe(RECIPE, [searched.suggest(optuna.trial.FixedTrial(values)) for searched in space])
    assert {option: value_of(changed, option) for option in values} == values


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("optimizer.learning_rate=1e-5..1e-3:log", RECIPE.optimizer.learning_rate),
        ("optimizer.learning_rate=1e-5..1e-4", None),
        ("batch.size=16..64:16", RECIPE.batch.size),
        ("batch.size=20..60:20", None),
        ("model.pooling=gem,average", RECIPE.model.pooling),
        ("model.pooling=gem,max", None),
        ("model.embedding_size=64..128", None),
        (f"schedule.milestones=[3],{list(RECIPE.schedule.milestones)}", str(list(RECIPE.schedule.milestones))),
    ],
)
def test_the_recipes_own_value_is_known_where_a_trial_could_have_it(text, own):
    recipe = change_recipe(RECIPE, ["model.head=none"])
    spaces = [text] if "embedding_size" not in text else [text, "model.head=none,fc"]
    assert read_space(spaces, recipe)[0].own(recipe) == own
