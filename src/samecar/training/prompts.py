"""The first stage of CLIP-ReID: prompts are learned, while the towers of pictures and of texts stay as they are."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.optim import Adam

from samecar.config import PromptSettings, ScheduleSettings
from samecar.errors import SamecarError
from samecar.files import write_file
from samecar.losses.contrast import picture_to_text_contrast, text_to_picture_contrast
from samecar.models.saved import save_tensors
from samecar.models.texts.prompts import VehiclePrompts
from samecar.progress import Progress, silent
from samecar.training.rates import learning_rate

PROMPTS_FILE = "prompts.safetensors"
"""In the run folder."""

WARMUP_START = 0.01
"""Share of the rate that a warm-up begins at."""


@dataclass(frozen=True)
class LearnedPrompts:
    """What the first stage leaves to the second.

    Attributes:
        vehicles: names, in the order of the classifier.
        tokens: learned for each vehicle, (vehicles, tokens, token width).
        texts: the features of the texts about the vehicles, (vehicles, width).
        origin: what else is to be known of them, such as the text tower that read them.
    """

    vehicles: tuple[str, ...]
    tokens: Tensor
    texts: Tensor
    origin: Mapping[str, str]

    def save(self, path: Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        metadata = {**self.origin, "vehicles": json.dumps(self.vehicles, ensure_ascii=False)}
        with write_file(path) as temporary:
            save_tensors({"tokens": self.tokens, "texts": self.texts}, temporary, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> "LearnedPrompts":
        """Reads what `save` wrote.

        Raises:
            SamecarError: the file is damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                origin = dict(file.metadata())
                vehicles = tuple(json.loads(origin.pop("vehicles")))
                return cls(vehicles, file.get_tensor("tokens"), file.get_tensor("texts"), origin)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise SamecarError(
                f"{path} cannot be read: {error}; remove it, and the prompts are learned again"
            ) from error


def learn_prompts(
    prompts: VehiclePrompts,
    features: Tensor,
    labels: Tensor,
    settings: PromptSettings,
    *,
    seed: int,
    progress: Progress = silent,
) -> None:
    """Learns each vehicle's tokens by Adam, so that its text and its pictures find each other.

    The sum of both contrasts (Li et al., arXiv 2211.13977, equation 5) is lowered. It is calculated in float32.

    Args:
        prompts: their learned tokens are changed in place; on the device of the features.
        features: projected features of the training pictures, (pictures, width).
        labels: number of each picture's vehicle, (pictures,), integers.
        settings: how long, how many at a time, and how quickly.
        seed: of the order of the pictures; nothing is drawn from torch's own random numbers.
        progress: is told of every batch.

    Raises:
        SamecarError: the loss is no longer finite.
    """
    optimizer = Adam([prompts.learned], settings.learning_rate)
    schedule = ScheduleSettings(decay="cosine", warmup_epochs=settings.warmup_epochs, warmup_start=WARMUP_START)
    generator = torch.Generator().manual_seed(seed)
    total = settings.epochs * math.ceil(len(features) / settings.batch_size)
    done = 0
    for epoch in range(settings.epochs):
        rate = learning_rate(schedule, settings.learning_rate, epoch, settings.epochs)
        optimizer.param_groups[0]["lr"] = rate
        for rows in torch.split(torch.randperm(len(features), generator=generator), settings.batch_size):
            batch, vehicles = features[rows], labels[rows]
            texts = prompts(vehicles)
            loss = picture_to_text_contrast(batch, texts) + text_to_picture_contrast(batch, texts, vehicles)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            done += 1
            if done % 10 == 0 or done == total:
                _refuse_infinite(loss, epoch)
                note = f"epoch {epoch + 1}/{settings.epochs}  loss {loss.item():.3f}  lr {rate:.3g}"
                progress("prompts", done, total, note)


@torch.no_grad()
def read_texts(prompts: VehiclePrompts, batch_size: int) -> Tensor:
    """The features of the texts about all vehicles, (vehicles, width)."""
    vehicles = torch.arange(len(prompts.learned), device=prompts.learned.device)
    return torch.cat([prompts(part) for part in torch.split(vehicles, batch_size)])


def check_vehicles(learned: LearnedPrompts, vehicles: Sequence[str], path: Path) -> None:
    """Checks that prompts which were read are about the vehicles that are trained on.

    Raises:
        SamecarError: they are about others.
    """
    if learned.vehicles != tuple(vehicles) or len(learned.texts) != len(vehicles):
        raise SamecarError(
            f"{path} is about other vehicles than the run is trained on; remove it, and the prompts are learned again"
        )


def _refuse_infinite(loss: Tensor, epoch: int) -> None:
    if not math.isfinite(loss.item()):
        raise SamecarError(
            f"the loss of the prompts is {loss.item()} in epoch {epoch + 1}; lower prompts.learning_rate"
        )
