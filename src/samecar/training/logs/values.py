"""A run's settings and numbers under the names that logs show."""

from collections.abc import Mapping

from samecar.config import Recipe
from samecar.options import flatten


def recipe_settings(recipe: Recipe) -> dict[str, str]:
    """The options of a recipe by their names with dots, as texts, and its digest."""
    options = {name: str(value) for name, value in flatten(recipe.model_dump(mode="json")).items()}
    return {**options, "digest": recipe.digest}


def epoch_values(record: Mapping[str, float]) -> dict[str, float]:
    """An epoch's line of `metrics.jsonl`: scores of held-out vehicles are validation/…, all else is train/…."""
    return {_grouped(name): value for name, value in record.items()}


def _grouped(name: str) -> str:
    group, _, rest = name.partition("_")
    return f"validation/{rest}" if group == "validation" else f"train/{name}"
