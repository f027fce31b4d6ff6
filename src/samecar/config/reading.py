"""Recipes from TOML files and from changes to them, checked strictly."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from samecar.config.recipe import Recipe
from samecar.errors import SamecarError
from samecar.options import OptionDescription, describe_groups, describe_settings, settings_as_toml

LARGEST_RECIPE = 1 << 16
"""Bytes of a recipe's file; one with every option and what it means has a third."""


def shipped_recipes() -> dict[str, Path]:
    """Names and paths of the recipes that come with the package."""
    folder = Path(str(resources.files("samecar") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(name_or_path: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """Reads a recipe and applies changes to it.

    A recipe may name another one as its `base`; it then holds only what differs.

    Args:
        name_or_path: a shipped recipe's name, or the path of a TOML file.
        changes: texts of the form `group.option=value`, the value in TOML; a bare word is a string.

    Raises:
        SamecarError: the recipe is not there, is not TOML, or has an option or a value that is not allowed.
    """
    if not isinstance(name_or_path, str | Path):
        raise SamecarError(
            f"recipe is of type {type(name_or_path).__name__}; give a shipped one's name or the path of a TOML file"
        )
    name = str(name_or_path)
    content = _read(name)
    for change in changes:
        _apply_change(content, change)
    return parse_recipe(content, name)


def change_recipe(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """Applies changes to a recipe, which stays as it is.

    Args:
        recipe: to be changed.
        changes: as in `load_recipe`.

    Raises:
        SamecarError: as in `load_recipe`.
    """
    content = recipe.model_dump()
    for change in changes:
        _apply_change(content, change)
    return parse_recipe(content, recipe.title or "given")


def as_recipe(recipe: Recipe | str | Path) -> Recipe:
    """A recipe that was given itself, or by its name or its file.

    Raises:
        SamecarError: as in `load_recipe`.
    """
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def parse_recipe(content: Mapping[str, Any], origin: str) -> Recipe:
    """Checks nested options; `origin` names the place they came from in error sentences."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise SamecarError(f"recipe {origin}: " + "; ".join(_sentence(item) for item in error.errors())) from error


def known_options() -> list[str]:
    """All options of a recipe as dotted paths, in the order in which they are declared."""
    return [described.option for described in describe_options()]


def describe_options() -> list[OptionDescription]:
    """Says of each option of a recipe what it means, which values it takes and what its default is."""
    return describe_settings(Recipe)


def option_groups() -> dict[str, str]:
    """Names of the groups of options, such as `training`, and what each is about."""
    return describe_groups(Recipe)


def recipe_as_toml(recipe: Recipe) -> str:
    """Writes a recipe with every option resolved, each below a comment that says what it means and may be.

    Saved as a file it is a recipe with the same digest.
    """
    return settings_as_toml(recipe)


def recipe_header(name_or_path: str) -> str:
    """Gives the comment that a recipe's file begins with; empty if it begins with none.

    Those of shipped recipes say source, command, hardware, hours, published score and measured score.

    Args:
        name_or_path: a shipped recipe's name, or the path of a TOML file.

    Raises:
        SamecarError: the recipe is not there, or is not text.
    """
    lines = _read_text(_recipe_file(name_or_path)).splitlines()
    return "".join(f"{line}\n" for line in takewhile(lambda line: line.startswith("#"), lines))


def _recipe_file(name_or_path: str) -> Path:
    shipped = shipped_recipes()
    path = shipped.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise SamecarError(
            f"recipe {name_or_path!r} is neither a file nor a shipped recipe; shipped are: {', '.join(shipped)}"
        )
    return path


def _read_text(path: Path) -> str:
    if path.stat().st_size > LARGEST_RECIPE:
        raise SamecarError(f"recipe {path} has more than {LARGEST_RECIPE:,} bytes; give a recipe's own file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SamecarError(f"recipe {path} is not valid TOML: {error}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Reads TOML.

    Raises:
        ValueError: it is none, nested too deep, or has numbers of thousands of digits.
    """
    try:
        content = tomllib.loads(text)
        repr(content)  # which fails where a number has more digits than Python writes
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return content


def _read(name_or_path: str, read_before: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = _recipe_file(name_or_path)
    try:
        content = parse_toml(_read_text(path))
    except ValueError as error:
        raise SamecarError(f"recipe {path} is not valid TOML: {error}") from error
    base = content.pop("base", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise SamecarError(f"recipe {path}: base is {base!r}; it must be the name or path of another recipe")
    shipped = shipped_recipes()
    if base not in shipped:
        base = str(path.parent / base)
    if shipped.get(base, Path(base)).resolve() in (*read_before, path.resolve()):
        raise SamecarError(f"recipe {path}: its bases go round in a circle, back to {base}; name another base")
    return _merge(_read(base, (*read_before, path.resolve())), content)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both_tables else value
    return merged


def _apply_change(content: dict[str, Any], change: str) -> None:
    option, equals, text = change.partition("=")
    option = option.strip()
    if not equals or not option:
        raise SamecarError(f"--set {change!r} is not of the form group.option=value, as in --set training.epochs=10")
    if option not in known_options():
        raise SamecarError(f"--set {change!r}: {_unknown_option(option)}")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except ValueError:
        value = text.strip()
    *groups, name = option.split(".")
    for group in groups:
        table = content.get(group, {})
        if not isinstance(table, Mapping):
            raise SamecarError(f"--set {change!r}: {group} is {table!r} in the recipe; it must be a table")
        content[group] = dict(table)
        content = content[group]
    content[name] = value


def _unknown_option(option: str) -> str:
    known = known_options()
    nearest = difflib.get_close_matches(option, known, n=1, cutoff=0.75)
    if nearest:
        return f"unknown option {option}; did you mean {nearest[0]}?"
    siblings = [name for name in known if name.startswith(option.rpartition(".")[0] + ".")]
    groups = dict.fromkeys(f"{name.partition('.')[0]}.…" if "." in name else name for name in known)
    return f"unknown option {option}; known are {', '.join(siblings or groups)}"


def _sentence(error: Any) -> str:
    option = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return _unknown_option(option)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{option}: {message}"
    return f"{option} is {error['input']!r}: {message[0].lower() + message[1:]}"
