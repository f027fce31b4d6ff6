"""`samecar recipes`: the recipes, one of them in full, and what its options mean."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Json
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samecar.options import OptionDescription


@examples("samecar recipes small-set", "samecar recipes --options")
def recipes(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            show_default=False,
            help="a shipped recipe's name or a TOML file, to be printed with every option resolved",
        ),
    ] = None,
    options: Annotated[
        bool, typer.Option("--options", help="print what each option means, the values it takes and its default")
    ] = False,
    json: Json = False,
) -> None:
    """Lists the recipes that come with samecar, prints one in full, or explains the options.

    What it prints of a recipe is one again: samecar recipes small-set > mine.toml
    """
    if recipe is not None and options:
        raise SamecarError(f"--options explains the options of every recipe; leave out {recipe}, or --options")
    if options:
        _print_options(json)
    elif recipe is not None:
        _print_recipe(recipe, json)
    else:
        _print_list(json)


def _print_list(json: bool) -> None:
    from rich.table import Table

    from samecar.config import load_recipe, shipped_recipes

    shipped = {name: load_recipe(name) for name in shipped_recipes()}
    if json:
        listed = [
            {"name": name, "title": recipe.title, "description": recipe.description, "digest": recipe.digest}
            for name, recipe in shipped.items()
        ]
        console.print_json({"recipes": listed})
        return
    table = Table("recipe", "what it is")
    for name, recipe in shipped.items():
        table.add_row(name, recipe.description)
    console.out.print(table)


def _print_recipe(name_or_path: str, json: bool) -> None:
    from samecar.config import load_recipe, recipe_as_toml, recipe_header

    recipe = load_recipe(name_or_path)
    if json:
        console.print_json({"digest": recipe.digest, "recipe": recipe.model_dump(mode="json")})
        return
    header = recipe_header(name_or_path)
    console.say((f"{header}\n" if header else "") + recipe_as_toml(recipe).rstrip("\n"))


def _print_options(json: bool) -> None:
    from samecar.config import describe_options, option_groups

    described = describe_options()
    if json:
        console.print_json({"options": [asdict(option) for option in described]})
        return
    for group, meaning in {"": "what a recipe is called", **option_groups()}.items():
        title = f"{group}: {meaning}" if group else meaning
        _print_group(title, [option for option in described if option.group == group])
    console.say(
        'A recipe is a TOML file that gives some of these; with `base = "NAME"` it gives what differs from another '
        "recipe. `--set group.option=value` changes one of them for a run."
    )


LONGEST_NAME = 23
"""Characters of an option's name that are shown."""


def _print_group(title: str, described: "Sequence[OptionDescription]") -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", expand=True, show_lines=True)
    table.add_column("option", no_wrap=True, width=LONGEST_NAME)
    table.add_column("meaning, and what is allowed", ratio=1)
    table.add_column("default", width=13, overflow="fold")
    for option in described:
        table.add_row(option.name, escape(f"{option.meaning}\nallowed: {option.allowed}"), escape(option.default_text))
    console.out.print(table)
