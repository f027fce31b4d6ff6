"""Several models as one, and shorter embeddings: the network that `samecar fuse` and `samecar reduce` compose."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from samecar.config import ModelSettings
from samecar.models.embedder import Embedder, build_embedder
from samecar.models.layers.side_information import refuse_side_information
from samecar.preprocessing import Preprocessing

MOST_PARTS = 32
"""Models that can be fused to one."""


class Reduction(nn.Module):
    """A last linear layer that makes embeddings shorter: minus a mean, times components.

    Args:
        width: numbers in an embedding before.
        size: numbers in one afterwards.

    Attributes:
        mean: (width,), subtracted.
        components: (size, width), each a direction; of a whitened one divided by the deviation along it.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("components", torch.zeros(size, width))

    def forward(self, embeddings: Tensor) -> Tensor:
        """From (batch, width) to (batch, size)."""
        return (embeddings - self.mean) @ self.components.T


class CompositeEmbedder(nn.Module):
    """From pictures to embeddings of length one, by one model or by several, reduced or not.

    The embedding of each model is brought to length one and multiplied by the square root of the model's weight; all of
    them, one behind the other, are the fused embedding. The weights sum to 1, so it has length one too, and the cosine
    of two of them is the weighted mean of the models' cosines. With a reduction, its result is brought to length one.

    Pictures come in the largest size that a model takes, with colours from 0 to 1. Each model gets them in its own
    size, by antialiased bilinear interpolation, and normalised as it was trained. A model of the largest size gets the
    very pictures that it gets alone; a smaller one gets pictures that were resized twice, which differs a little.

    Args:
        parts: the models.
        weights: of each, 0 or more, with sum 1.
        size: numbers in a reduced embedding; None for no reduction.

    Raises:
        SamecarError: a model reads side information.

    Attributes:
        parts: the models.
        weights: (parts,).
        reduction: None if there is none.
        preprocessing: what is done to pictures before; they are read exactly unless all models read quickly.
        embedding_size: width of an embedding.
    """

    weights: Tensor
    embedding_size: int
    preprocessing: Preprocessing

    def __init__(self, parts: "Iterable[Network]", weights: Sequence[float], size: int | None = None) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        for part in self.parts:
            if isinstance(part, Embedder):
                refuse_side_information(part.settings, "a fused or reduced model")
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        width = sum(part.embedding_size for part in self._networks)
        self.reduction = None if size is None else Reduction(width, size)
        self.embedding_size = width if size is None else size
        taken = [part.preprocessing for part in self._networks]
        self.preprocessing = Preprocessing(
            max(each.height for each in taken),
            max(each.width for each in taken),
            (0.0, 0.0, 0.0),
            (1.0, 1.0, 1.0),
            "quick" if all(each.reading == "quick" for each in taken) else "exact",
        )
        for number, each in enumerate(taken):
            for name, values in (("mean", each.mean), ("deviation", each.deviation)):
                self.register_buffer(f"_{name}_{number}", torch.tensor(values)[:, None, None], persistent=False)

    @property
    def _networks(self) -> "list[Network]":
        return list(self.parts)  # type: ignore[arg-type]

    @property
    def widths(self) -> list[int]:
        """Numbers that each model gives to the fused embedding."""
        return [part.embedding_size for part in self._networks]

    def forward(self, pictures: Tensor) -> Tensor:
        """Embeds pictures.

        Args:
            pictures: (batch, 3, height, width), as `preprocessing` says.

        Returns:
            Embeddings, (batch, embedding), of length one.
        """
        embeddings = [
            self.weights[number].sqrt() * functional.normalize(part(self._taken_by(number, pictures)).float())
            for number, part in enumerate(self._networks)
        ]
        fused = torch.cat(embeddings, dim=1)
        return fused if self.reduction is None else functional.normalize(self.reduction(fused))

    def _taken_by(self, number: int, pictures: Tensor) -> Tensor:
        """The pictures in the size and with the normalisation of one of the models."""
        taken = self._networks[number].preprocessing
        size = (taken.height, taken.width)
        if size != (self.preprocessing.height, self.preprocessing.width):
            pictures = functional.interpolate(pictures, size, mode="bilinear", antialias=True)
        normalised: Tensor = (pictures - getattr(self, f"_mean_{number}")) / getattr(self, f"_deviation_{number}")
        return normalised


Network = Embedder | CompositeEmbedder
"""Whatever makes embeddings of pictures."""


@dataclass(frozen=True)
class PlainDescription:
    """What a saved embedder is built of.

    Attributes:
        settings: what it is composed of.
        vehicles: how many its classifier tells apart.
    """

    settings: ModelSettings
    vehicles: int

    def build(self) -> Embedder:
        """The network, whose tensors are to be filled in."""
        return build_embedder(self.settings, self.vehicles, load_weights=False)


@dataclass(frozen=True)
class CompositeDescription:
    """What a saved composite is built of.

    Attributes:
        parts: of each model.
        size: numbers in a reduced embedding; None for no reduction.
    """

    parts: tuple["Description", ...]
    size: int | None

    def build(self) -> CompositeEmbedder:
        """The network, whose tensors are to be filled in."""
        parts = [part.build() for part in self.parts]
        return CompositeEmbedder(parts, [1 / len(parts)] * len(parts), self.size)


Description = PlainDescription | CompositeDescription
"""What a saved model is built of."""


def describe_model(model: Network) -> dict[str, Any]:
    """What `read_description` builds a model of again; for its JSON file."""
    if isinstance(model, Embedder):
        settings = model.settings.model_dump(mode="json")
        if settings["reading"] == "exact":
            del settings["reading"]  # it was not said when there was no other
        return {"model": settings, "vehicles": model.vehicles}
    return {
        "parts": [describe_model(part) for part in model.parts],  # type: ignore[arg-type]
        "reduction": None if model.reduction is None else {"size": model.reduction.size},
    }


def read_description(content: Mapping[str, Any]) -> Description:
    """Reads what `describe_model` gave; further facts in it are left aside.

    Raises:
        KeyError, TypeError or ValueError: something is missing, or not what it should be.
    """
    if "parts" not in content:
        return PlainDescription(ModelSettings.model_validate(content["model"]), int(content["vehicles"]))
    if not 1 <= len(content["parts"]) <= MOST_PARTS:
        raise ValueError(f"it has {len(content['parts'])} parts; 1 to {MOST_PARTS} are allowed")
    parts = tuple(read_description(part) for part in content["parts"])
    reduction = content["reduction"]
    return CompositeDescription(parts, None if reduction is None else int(reduction["size"]))


def without_classifier(model: Network) -> Network:
    """A model that gives the same embeddings and has no classifier, which nobody asks once it is trained."""
    if not isinstance(model, Embedder) or not model.vehicles:
        return model
    bare = build_embedder(model.settings, 0, load_weights=False)
    tensors = model.state_dict()
    bare.load_state_dict({name: tensors[name] for name in bare.state_dict()})
    return bare.eval()
