# The names of this package, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is
# used.

from .augmentation import AugmentationSettings as AugmentationSettings
from .base import LATER as LATER
from .base import Settings as Settings
from .base import digest as digest
from .batch import BatchSettings as BatchSettings
from .loss import LossSettings as LossSettings
from .model import ModelSettings as ModelSettings
from .optimizer import OPTIONS_OF_OPTIMIZERS as OPTIONS_OF_OPTIMIZERS
from .optimizer import OptimizerSettings as OptimizerSettings
from .prompts import PromptSettings as PromptSettings
from .reading import as_recipe as as_recipe
from .reading import change_recipe as change_recipe
from .reading import describe_options as describe_options
from .reading import known_options as known_options
from .reading import load_recipe as load_recipe
from .reading import option_groups as option_groups
from .reading import parse_recipe as parse_recipe
from .reading import recipe_as_toml as recipe_as_toml
from .reading import recipe_header as recipe_header
from .reading import shipped_recipes as shipped_recipes
from .recipe import Recipe as Recipe
from .schedule import ScheduleSettings as ScheduleSettings
from .training import TrainingSettings as TrainingSettings
