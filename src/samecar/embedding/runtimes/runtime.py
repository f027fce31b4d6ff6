"""What every runtime does."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from samecar.preprocessing import Pixels, Preprocessing

if TYPE_CHECKING:
    import torch

    from samecar.models.composite import Network


class Runtime(Protocol):
    """Whatever makes embeddings of pictures in a model's size; it loads its model when that is first needed.

    It may be used from several threads.
    """

    @property
    def digest(self) -> str:
        """Of the model's content; sixteen hexadecimal digits."""
        ...

    @property
    def name(self) -> str:
        """What runs the model at present, and the numbers that it computes with, such as "torch, float32"."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pictures are before."""
        ...

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""
        ...

    @property
    def device(self) -> "torch.device | None":
        """Where torch runs it; None where something else does."""
        ...

    @property
    def network(self) -> "Network":
        """The network of torch, in evaluation mode.

        Raises:
            SamecarError: the model is damaged, or has none.
        """
        ...

    def load(self) -> None:
        """Loads the model, if that was not done yet.

        Raises:
            SamecarError: it is damaged, or a library is missing.
        """
        ...

    def quicken(self) -> None:
        """Takes the quickest way that is installed and agrees; before many pictures, as it takes a second or two.

        Raises:
            SamecarError: as in `load`.
        """
        ...

    def embed(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Embeds one picture or more in one batch; (pictures, size) of length one."""
        ...
