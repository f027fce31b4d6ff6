"""Prompts: a text about each vehicle, some tokens of which are learned."""

import torch
from torch import Tensor, nn

from samecar.config.prompts import PLACE, PromptSettings
from samecar.errors import SamecarError
from samecar.models.texts.text_tower import TextTower

DEVIATION = 0.02
"""Of the normal distribution that learned tokens begin with, as in CoOp (Zhou et al., arXiv 2109.01134)."""


class VehiclePrompts(nn.Module):
    """For each vehicle a text such as "A photo of a [X]1 [X]2 [X]3 [X]4 vehicle.", with its own [X] (arXiv 2211.13977).

    Attributes:
        tower: that reads the texts; it does not learn.
        learned: the vehicles' own tokens, (vehicles, tokens, token width); the one parameter that learns.

    Args:
        tower: likewise.
        settings: template and number of tokens.
        vehicles: how many.
        seed: of the learned tokens' beginning; nothing is drawn from torch's own random numbers.

    Raises:
        SamecarError: the text is longer than the tower reads.
    """

    beginning: Tensor
    ending: Tensor

    def __init__(self, tower: TextTower, settings: PromptSettings, vehicles: int, seed: int) -> None:
        super().__init__()
        self.tower = tower
        before, after = (tower.read(text) for text in settings.template.split(PLACE))
        length = len(before) + settings.tokens + len(after) + 2
        if length > tower.longest:
            raise SamecarError(
                f"prompts.template {settings.template!r} with prompts.tokens {settings.tokens} has {length} tokens, "
                f"and the text tower reads {tower.longest}; shorten it"
            )
        start, end = tower.ends
        self.register_buffer("beginning", tower.embed_tokens([start, *before]))  # (tokens, token width)
        self.register_buffer("ending", tower.embed_tokens([*after, end]))  # (tokens, token width)
        drawn = torch.randn(vehicles, settings.tokens, tower.token_width, generator=torch.Generator().manual_seed(seed))
        self.learned = nn.Parameter(DEVIATION * drawn)

    def forward(self, vehicles: Tensor) -> Tensor:
        """The features of the texts about vehicles.

        Args:
            vehicles: their numbers, (batch,), integers.

        Returns:
            (batch, width of the tower), not of length one.
        """
        beginning, ending = (part.expand(len(vehicles), -1, -1) for part in (self.beginning, self.ending))
        features: Tensor = self.tower(torch.cat([beginning, self.learned[vehicles], ending], dim=1))
        return features
