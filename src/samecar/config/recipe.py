"""The recipe: all groups of options together, told apart by a digest."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from samecar.config.augmentation import AugmentationSettings
from samecar.config.base import LATER, Settings, digest
from samecar.config.batch import BatchSettings
from samecar.config.loss import LossSettings
from samecar.config.model import ModelSettings
from samecar.config.optimizer import OptimizerSettings
from samecar.config.prompts import PromptSettings
from samecar.config.schedule import ScheduleSettings
from samecar.config.training import TrainingSettings


class Recipe(Settings):
    """All that decides a training run's outcome; two runs with equal digests differ in nothing but data and machine."""

    title: str = Field("", description="what the recipe is called; not part of the digest")
    description: str = Field("", description="what the recipe is for; not part of the digest")
    model: ModelSettings = Field(ModelSettings(), description="the network, and the size of the pictures that it sees")
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(),
        description="random changes to training pictures, in the order in which they are made",
    )
    batch: BatchSettings = Field(BatchSettings(), description="some vehicles, and some pictures of each")
    loss: LossSettings = Field(LossSettings(), description="what the network is punished for")
    optimizer: OptimizerSettings = Field(OptimizerSettings(), description="how the weights are changed")
    schedule: ScheduleSettings = Field(
        ScheduleSettings(), description="the learning rate over the epochs: a warm-up if asked for, then a decay"
    )
    training: TrainingSettings = Field(
        TrainingSettings(), description="how long, how precisely, and how the epoch to keep is chosen"
    )
    prompts: PromptSettings = Field(
        PromptSettings(),
        description="texts about the vehicles, learned before training for loss.image_to_text",
        json_schema_extra=LATER,
    )

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change when any option but title and description changes.

        An option that an earlier version did not have is left out at its default, so that recipes of before keep
        theirs.
        """
        return digest(_decisive(self, self.model_dump(mode="json", exclude={"title", "description"})))


def _decisive(settings: Settings, content: Mapping[str, Any]) -> dict[str, Any]:
    """What settings hold, but for later options at their default."""
    decisive = {}
    for name, value in content.items():
        given, field = getattr(settings, name), type(settings).model_fields[name]
        if field.json_schema_extra == LATER and given == field.default:
            continue
        decisive[name] = _decisive(given, value) if isinstance(given, Settings) else value
    return decisive
