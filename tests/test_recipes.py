"""Shipped recipes explain themselves, recipes are written as TOML, and every option is described."""

import json
import math
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from samecar.config import (
    Recipe,
    Settings,
    describe_options,
    known_options,
    load_recipe,
    option_groups,
    parse_recipe,
    recipe_as_toml,
    recipe_header,
    shipped_recipes,
)
from samecar.errors import SamecarError
from samecar.losses.objective import refuse_batches, refuse_losses
from samecar.options import value_as_toml
from samecar.reproduce import Choices, all_rows
from samecar.reproduce.rows import find_row

ROOT = Path(__file__).parent.parent
PARTS = ["source", "command", "hardware", "hours", "published", "measured"]


def parts_of(name):
    """The parts of a recipe's header; lines that begin with further spaces go on with the part before."""
    header = recipe_header(name).replace("\n#   ", " ")
    parts = [re.fullmatch(r"# (\w+): (\S.*)", line) for line in header.splitlines()]
    assert all(parts), header
    assert [part[1] for part in parts] == PARTS
    return {part[1]: part[2] for part in parts}


def fields_of(settings, prefix=""):
    """Declared fields of settings by dotted path, read without the code that describes them."""
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


# headers


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_says_where_it_is_from_and_what_it_takes_and_gives(name):
    parts = parts_of(name)
    assert parts["command"] == "samecar demo" or parts["command"].startswith(f"samecar train {name} --data ")
    assert re.match(r"about \d+(\.\d+)? .*\((estimate|benchmarks/\w+\.py)\)$", parts["hours"])
    assert re.match(r"(rank-1 \d+\.\d, )?mAP \d+\.\d|none$", parts["published"])
    assert re.match(r"rank-1 \d+\.\d, mAP \d+\.\d|not measured", parts["measured"])
    if parts["measured"].startswith("rank-1"):
        script = re.search(r"\(`?(samecar demo|benchmarks/\w+\.py)`?\)", parts["measured"])
        assert script[1] == "samecar demo" or (ROOT / script[1]).is_file()


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("report-")])
def test_a_recipe_of_the_report_is_the_row_that_its_header_names_and_gives_its_score(name):
    parts = parts_of(name)
    row = re.search(r"row (\S+/\S+)", parts["source"])[1]
    assert Choices(as_run=True).recipe(row).digest == load_recipe(name).digest
    published = find_row(row)[1]
    assert parts["published"].startswith(f"rank-1 {published.rank1}, mAP {published.mAP} on VeRi-776")


def test_what_small_set_scored_is_what_its_benchmark_found():
    results = json.loads((ROOT / "benchmarks/results/two_camera.json").read_text(encoding="utf-8"))
    mean = results["mean"]["fine_tuned"]["cosine"]
    assert results["recipe"] == "small-set"
    assert results["recipe_digest"] == load_recipe("small-set").digest
    measured = parts_of("small-set")["measured"]
    assert measured.startswith(f"rank-1 {100 * mean['rank-1']:.1f}, mAP {100 * mean['mAP']:.1f} ")
    assert f"{results['runs'][0]['queries']} " in measured
    assert f"{results['data']['vehicles']}, " in measured


def test_a_recipe_without_a_comment_at_its_top_has_no_header(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("\n# later\ntitle = 'x'\n", encoding="utf-8")
    assert recipe_header(str(path)) == ""
    path.write_text("# mine\n# own\n\n# later\n", encoding="utf-8")
    assert recipe_header(str(path)) == "# mine\n# own\n"
    with pytest.raises(SamecarError, match="neither a file nor a shipped recipe"):
        recipe_header("no-such-recipe")


# descriptions


def groups_of(settings, prefix=""):
    """Dotted names of the groups of settings, and of the groups in these."""
    for name, value in settings:
        if isinstance(value, BaseModel):
            yield prefix + name
            yield from groups_of(value, f"{prefix}{name}.")


def test_every_option_and_every_group_is_described():
    declared = dict(fields_of(Recipe))
    described = {option.option: option for option in describe_options()}
    assert list(described) == list(declared) == known_options()
    assert all(option.meaning == declared[name].description for name, option in described.items())
    assert all(len(option.meaning.split()) >= 2 and not option.meaning.endswith(".") for option in described.values())
    assert list(option_groups()) == list(groups_of(Recipe()))
    assert all(option_groups().values())


def test_defaults_are_those_of_the_settings():
    for option in describe_options():
        value = Recipe()
        for part in option.option.split("."):
            value = getattr(value, part)
        assert option.default == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("option", "allowed"),
    [
        ("title", "text"),
        ("model.attention", 'one of "none", "se", "cbam"'),
        ("model.embedding_size", "whole number above 0, or not given"),
        ("model.dropout", "number at least 0, below 1"),
        ("augmentation.centre_crop", "number above 0, at most 1"),
        ("augmentation.flip", "number from 0 to 1"),
        ("augmentation.jitter", "true or false"),
        ("schedule.milestones", "list, each item a whole number above 0"),
        ("training.seed", "whole number at least 0, below 9223372036854775808"),
    ],
)
def test_what_is_allowed_is_said_in_words(option, allowed):
    assert {described.option: described.allowed for described in describe_options()}[option] == allowed


def test_what_can_be_left_out_is_left_out_by_default():
    """Only so can TOML, which has no word for None, say what it is."""
    assert all(option.default is None for option in describe_options() if "not given" in option.allowed)


# TOML


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_with_every_option_resolved_is_the_same_recipe(name, tmp_path):
    recipe = load_recipe(name)
    text = recipe_as_toml(recipe)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert load_recipe(str(tmp_path / "mine.toml")) == recipe
    assert load_recipe(str(tmp_path / "mine.toml")).digest == recipe.digest
    names = [option.rpartition(".")[2] for option in known_options()]
    assert re.findall(r"^(?:# )?(\w+)(?: =| is not given$)", text, re.MULTILINE) == names


def test_every_row_of_the_report_is_the_same_when_it_is_read_from_toml():
    recipes = [Choices(as_run=as_run).recipe(row) for as_run in (False, True) for row in all_rows()]
    assert len({recipe.digest for recipe in recipes}) > 35
    for recipe in {recipe.digest: recipe for recipe in recipes}.values():
        assert parse_recipe(tomllib.loads(recipe_as_toml(recipe)), "read again").digest == recipe.digest


@given(
    st.recursive(
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda values: st.lists(values, max_size=3),
        max_leaves=6,
    )
)
def test_a_value_written_as_toml_is_read_as_the_same(value):
    read = tomllib.loads(f"value = {value_as_toml(value)}")["value"]
    assert read == value
    assert type(read) is type(value)
    if isinstance(value, float):
        assert math.copysign(1, read) == math.copysign(1, value)


# the page


def test_the_recipes_that_the_page_on_options_shows_are_some(tmp_path):
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for number, example in enumerate(examples):
        (tmp_path / f"{number}.toml").write_text(example, encoding="utf-8")
    recipe, split = (load_recipe(str(tmp_path / f"{number}.toml")) for number in range(len(examples)))
    base = load_recipe("small-set")
    assert (split.model.branches, split.loss.circle.weight, split.loss.triplet_branches) == (2, 0.5, (2,))
    refuse_losses(split.loss, split.model)
    refuse_batches(split.loss, split.batch)
    assert (recipe.training.precision, recipe.training.epochs) == ("bfloat16", 30)
    assert (recipe.model.height, recipe.model.backbone) == (192, base.model.backbone)
    assert recipe.digest != base.digest


def test_the_page_on_options_has_each_in_a_row_of_its_group():
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    found, group = [], ""
    for line in page.splitlines():
        if heading := re.match(r"### `\[([\w.]+)\]`", line):
            group = f"{heading[1]}."
        if row := re.match(r"\| `(\w+)` \| .+ \| .+ \| .+ \|$", line):
            found.append(group + row[1])
    assert found == known_options()
