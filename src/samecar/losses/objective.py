"""The objective: the losses of a recipe, each on the parts of the network that it reads, weighted and added."""

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from samecar.config import BatchSettings, LossSettings, ModelSettings
from samecar.config.loss import LossGroup
from samecar.errors import SamecarError
from samecar.losses import LOSSES
from samecar.losses.base import Loss, Part


class PartPlace(Protocol):
    """Where in a network a part stands."""

    @property
    def branch(self) -> int:
        """Number of its branch, from 1."""

    @property
    def stripe(self) -> int:
        """Number of its stripe, from 1 at the top; 0 for the whole map."""

    @property
    def width(self) -> int:
        """Of its features."""


class Network(Protocol):
    """What an objective has to know of a network; an [Embedder][samecar.models.Embedder] is one."""

    @property
    def settings(self) -> ModelSettings:
        """What it is composed of."""

    @property
    def vehicles(self) -> int:
        """How many it learns to tell apart."""

    @property
    def parts(self) -> Sequence[PartPlace]:
        """In the order in which its outputs have them."""


class Outputs(Protocol):
    """What an objective reads; [Outputs][samecar.models.Outputs] of an embedder is one."""

    @property
    def parts(self) -> Sequence[Part]:
        """What the network says at each of its parts."""


class Objective(nn.Module):
    """The weighted sum of the losses whose weight is above 0.

    A loss that reads several parts of the network is the mean over them. Parameters are the class vectors of losses
    that have some; they are learned with the network's.

    Args:
        settings: weights and options of the losses.
        network: whose outputs will be read.

    Raises:
        SamecarError: as in `refuse_losses`.
    """

    def __init__(self, settings: LossSettings, network: Network) -> None:
        super().__init__()
        refuse_losses(settings, network.settings)
        self.settings = settings
        groups = chosen_losses(settings)
        self.weights = {name: group.weight for name, group in groups.items()}
        self.read = {name: _parts_read(name, group, network.parts) for name, group in groups.items()}
        self.losses = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    LOSSES[name](group, network.parts[part].width, network.vehicles) for part in self.read[name]
                )
                for name, group in groups.items()
            }
        )

    def forward(self, outputs: Outputs, labels: Tensor, cameras: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of one batch.

        Args:
            outputs: of the network.
            labels: number of each picture's vehicle from 0, (batch,), integers.
            cameras: number of each picture's camera, (batch,), integers, -1 where it is not known; None if nobody says.

        Returns:
            The unweighted losses by name, such as `cross_entropy`, and `total`, their weighted sum; each a scalar.

        Raises:
            SamecarError: cross-entropy without logits, or a batch that a loss cannot take.
        """
        losses = {
            name: torch.stack([loss(part, labels, cameras) for loss, part in self._with_parts(name, outputs)]).mean()
            for name in self.weights
        }
        total = torch.stack([weight * losses[name] for name, weight in self.weights.items()]).sum()
        return losses | {"total": total}

    def refuse_lacking(self, labels: Tensor) -> None:
        """Checks that what is left of a batch, some of whose pictures cannot be read, is enough.

        Args:
            labels: number of each picture's vehicle, (batch,).

        Raises:
            SamecarError: a loss needs two vehicles, and the batch shows fewer.
        """
        for losses in self.losses.values():
            for loss in cast(nn.ModuleList, losses):
                cast(Loss, loss).refuse_lacking(labels)

    def accuracy(self, outputs: Outputs, labels: Tensor) -> Tensor | None:
        """Share of a batch's pictures whose own vehicle scores best, a scalar; the mean over all classifiers.

        Those are the ones that a loss reads. Where none does, they are the network's own; None if it has none either.
        """
        scores = [loss.scores(part) for name in self.weights for loss, part in self._with_parts(name, outputs)]
        known = [each for each in scores if each is not None]
        known = known or [part.logits for part in outputs.parts if part.logits is not None]
        if not known:
            return None
        return torch.stack([(each.argmax(dim=1) == labels).float().mean() for each in known]).mean()

    def _with_parts(self, name: str, outputs: Outputs) -> list[tuple[Loss, Part]]:
        modules = cast(nn.ModuleList, self.losses[name])
        return [(cast(Loss, loss), outputs.parts[part]) for loss, part in zip(modules, self.read[name], strict=True)]


def chosen_losses(settings: LossSettings) -> dict[str, LossGroup]:
    """The options of the losses whose weight is above 0, by name."""
    return {name: group for name, group in settings.groups().items() if group.weight > 0}


def refuse_losses(settings: LossSettings, model: ModelSettings) -> None:
    """Checks that the losses can be had from a network.

    Raises:
        SamecarError: every weight is 0, a loss reads a feature or a branch that the network does not have, or a part of
            the network is read by none.
    """
    groups = chosen_losses(settings)
    if not groups:
        raise SamecarError(
            "loss.cross_entropy and loss.triplet are both 0, so nothing would be learned; set one above 0, or give "
            "another loss a weight"
        )
    for name, group in groups.items():
        _refuse_feature(settings.option(name, "feature"), group, model)
        beyond = [branch for branch in group.branches if branch > model.branches]
        if beyond:
            raise SamecarError(
                f"{settings.option(name, 'branches')} names branch {beyond[0]} but model.branches is {model.branches}; "
                "name branches from 1 to that, or raise model.branches"
            )
    for branch in range(1, model.branches + 1):
        _refuse_unread(branch, [name for name, group in groups.items() if _reads_branch(group, branch)], model)


def refuse_batches(settings: LossSettings, batch: BatchSettings) -> None:
    """Checks that batches show what the losses compare.

    Raises:
        SamecarError: a batch shows one vehicle, or each vehicle once, and a loss needs more.
    """
    vehicles = batch.size // batch.pictures_per_vehicle
    for name in chosen_losses(settings):
        words, weight = name.replace("_", " "), settings.option(name, "weight")
        if vehicles == 1 and LOSSES[name].needs_two_vehicles:
            raise SamecarError(
                f"batch.size {batch.size} with batch.pictures_per_vehicle {batch.pictures_per_vehicle} is one vehicle "
                f"a batch, and the {words} loss needs two; raise batch.size, or set {weight} to 0"
            )
        if batch.pictures_per_vehicle == 1 and LOSSES[name].needs_pairs:
            raise SamecarError(
                f"batch.pictures_per_vehicle is 1, and the {words} loss needs two pictures of a vehicle; raise it, or "
                f"set {weight} to 0"
            )


def mines_by_camera(settings: LossSettings) -> list[str]:
    """The losses, by name, that read which camera took a picture."""
    return [name for name, group in chosen_losses(settings).items() if getattr(group, "mining", None) == "camera"]


def _refuse_feature(option: str, group: LossGroup, model: ModelSettings) -> None:
    field = type(group).model_fields.get("feature")
    if field is None or model.neck != "none":
        return
    feature = getattr(group, "feature")  # noqa: B009
    if feature != field.default:
        raise SamecarError(
            f"{option} is {feature!r} but model.neck is 'none', so there is one feature; set model.neck to "
            "'batch-norm', or leave the option out"
        )


def _refuse_unread(branch: int, readers: Sequence[str], model: ModelSettings) -> None:
    if not readers:
        raise SamecarError(
            f"no loss reads branch {branch} of model.branches {model.branches}, so it would not be learned; name it in "
            "the branches of a loss, or lower model.branches"
        )
    if model.stripes and not any(LOSSES[name].reads_stripes for name in readers):
        raise SamecarError(
            f"no loss reads the stripes of model.stripes {model.stripes} in branch {branch}, so they would not be "
            "learned; give it a loss that classifies, such as loss.cross_entropy, or set model.stripes to 0"
        )


def _reads_branch(group: LossGroup, branch: int) -> bool:
    return not group.branches or branch in group.branches


def _parts_read(name: str, group: LossGroup, parts: Sequence[PartPlace]) -> tuple[int, ...]:
    """Places among the parts of those that a loss reads."""
    return tuple(
        index
        for index, part in enumerate(parts)
        if _reads_branch(group, part.branch) and (part.stripe == 0 or LOSSES[name].reads_stripes)
    )
