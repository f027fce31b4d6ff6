import json

import pytest
from command_line import done, refused

from samecar.config import describe_options, known_options, load_recipe, recipe_header, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_what_is_printed_of_a_recipe_is_the_same_recipe(name, tmp_path):
    printed = done("recipes", name)
    assert printed.startswith(recipe_header(name) + "\n")
    (tmp_path / "mine.toml").write_text(printed, encoding="utf-8")
    assert load_recipe(str(tmp_path / "mine.toml")) == load_recipe(name)
    assert done("recipes", tmp_path / "mine.toml") == printed


def test_a_file_is_printed_with_what_its_base_says(tmp_path):
    (tmp_path / "mine.toml").write_text('base = "small-set"\n[training]\nepochs = 3\n', encoding="utf-8")
    lines = done("recipes", tmp_path / "mine.toml").splitlines()
    assert "epochs = 3" in lines
    assert 'backbone = "mobilenetv2_100"' in lines
    assert "# embedding_size is not given" in lines
    assert not any(line.startswith("base") for line in lines)


def test_signs_of_other_languages_and_control_signs_come_through(tmp_path):
    (tmp_path / "mine.toml").write_text('title = "夜の車 \\u001b[31m \\t \\" [bold]"\n', encoding="utf-8")
    printed = done("recipes", tmp_path / "mine.toml")
    assert "\x1b" not in printed
    (tmp_path / "again.toml").write_text(printed, encoding="utf-8")
    assert load_recipe(str(tmp_path / "again.toml")).title == '夜の車 \x1b[31m \t " [bold]'


def test_options_are_printed_in_eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    printed = done("recipes", "--options")
    table, _, last = printed.rpartition("┘\n")
    assert max(map(len, table.splitlines())) <= 80
    assert "group.option=value" in last
    words = " ".join(printed.replace("│", " ").split())
    for option in describe_options():
        assert f"│ {option.name} " in printed
        assert option.allowed.split()[0] in words
    assert "whole number at least 0" in words
    assert "│ [20, 40] " in printed


def test_all_of_it_is_printed_for_programs():
    listed = json.loads(done("recipes", "--json"))["recipes"]
    assert [recipe["name"] for recipe in listed] == list(shipped_recipes())
    assert all(recipe["description"] for recipe in listed)
    one = json.loads(done("recipes", "small-set", "--json"))
    assert one["digest"] == load_recipe("small-set").digest
    assert one["recipe"]["schedule"]["milestones"] == [20, 40]
    options = json.loads(done("recipes", "--options", "--json"))["options"]
    assert [option["option"] for option in options] == known_options()
    assert options[known_options().index("training.epochs")] == {
        "option": "training.epochs",
        "meaning": "times that the training pictures are gone through",
        "allowed": "whole number above 0",
        "default": 60,
    }


def test_a_recipe_that_is_not_there_is_one_sentence():
    assert refused("recipes", "small-sett").startswith(
        "recipe 'small-sett' is neither a file nor a shipped recipe; shipped are: demo, "
    )


def test_a_file_that_is_no_recipe_is_one_sentence(tmp_path):
    (tmp_path / "mine.toml").write_text("[training]\nepoch = 3\n", encoding="utf-8")
    assert "did you mean training.epochs?" in refused("recipes", tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_bytes(b"title = '\xff'\n")
    assert "is not valid TOML" in refused("recipes", tmp_path / "mine.toml")


def test_a_recipe_and_the_options_of_all_are_not_asked_for_at_once():
    assert refused("recipes", "small-set", "--options") == (
        "--options explains the options of every recipe; leave out small-set, or --options"
    )
