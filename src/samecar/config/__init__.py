"""Settings: what a training run is made of, read from TOML, checked strictly, and told apart by a digest."""

from samecar.config.augmentation import AugmentationSettings
from samecar.config.base import LATER, Settings
from samecar.config.batch import BatchSettings
from samecar.config.loss import LossSettings
from samecar.config.model import ModelSettings
from samecar.config.optimizer import OPTIONS_OF_OPTIMIZERS, OptimizerSettings
from samecar.config.prompts import PromptSettings
from samecar.config.reading import (
    as_recipe,
    change_recipe,
    describe_options,
    known_options,
    load_recipe,
    option_groups,
    parse_recipe,
    recipe_as_toml,
    recipe_header,
    shipped_recipes,
)
from samecar.config.recipe import Recipe, digest
from samecar.config.schedule import ScheduleSettings
from samecar.config.training import TrainingSettings

__all__ = [
    "LATER",
    "OPTIONS_OF_OPTIMIZERS",
    "AugmentationSettings",
    "BatchSettings",
    "LossSettings",
    "ModelSettings",
    "OptimizerSettings",
    "PromptSettings",
    "Recipe",
    "ScheduleSettings",
    "Settings",
    "TrainingSettings",
    "as_recipe",
    "change_recipe",
    "describe_options",
    "digest",
    "known_options",
    "load_recipe",
    "option_groups",
    "parse_recipe",
    "recipe_as_toml",
    "recipe_header",
    "shipped_recipes",
]
