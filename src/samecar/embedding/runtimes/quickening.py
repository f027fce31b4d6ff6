"""Quicker ways to run a trained network on a processor; one is taken only if it agrees with the network as it is."""

import copy
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from samecar.embedding.exporting import Exported, lowest_agreement, sample_pictures, write_onnx
from samecar.embedding.filling import Embed
from samecar.embedding.runtimes.onnx import open_session
from samecar.hardware import in_parts
from samecar.models.composite import Network
from samecar.preprocessing import Pixels

logger = logging.getLogger(__name__)

LEAST_COSINE: Final = 0.9999
"""Between the embeddings of a picture by torch in float32 and by another way; so galleries never mix more than that."""

TRIED: Final = (1, 3)
"""Sizes of the batches that are tried."""


class Way(NamedTuple):
    """A way to run a network.

    Attributes:
        name: of what runs it, and the numbers that it computes with.
        embed: does it; from several threads at a time, if need be.
    """

    name: str
    embed: Embed


def find_quickest(network: Network, as_it_is: Embed, *, unit_length: bool = True) -> Way | None:
    """The quickest way that is installed and agrees; finding it takes a second or two.

    Args:
        network: in evaluation mode, on the processor.
        as_it_is: embeds with it.
        unit_length: whether embeddings are of length one; False leaves them as the network gives them, and a length
            that differs counts as an angle does.

    Returns:
        None if no other way agrees.
    """
    pictures = sample_pictures(network.preprocessing, sum(TRIED))
    for name, build in WAYS.items():
        try:
            embed = build(network, unit_length)
            cosine = lowest_agreement(as_it_is, embed, pictures, TRIED)
        except ModuleNotFoundError:
            continue
        except Exception as error:  # exporters raise whatever a network leads them into
            logger.info("%s does not run this network: %s", name, str(error).partition("\n")[0])
            continue
        if cosine >= LEAST_COSINE:
            return Way(name, embed)
        logger.warning(
            "%s is not used: the cosine of its embeddings with torch's is %.6f, below %s", name, cosine, LEAST_COSINE
        )
    return None


def _by_onnxruntime(network: Network, unit_length: bool) -> Embed:
    """The network as ONNX, written and opened in memory."""
    import onnx  # noqa: F401 - torch's exporter needs it
    import onnxruntime  # noqa: F401 - before the file is written in vain

    written = io.BytesIO()
    write_onnx(network, written, unit_length=unit_length)
    session = open_session(written.getvalue(), "cpu")
    (taken,) = session.get_inputs()

    def embed(pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = session.run(None, {taken.name: np.stack(pictures)})[0]
        return embeddings

    return embed


def _by_frozen_torch(network: Network, unit_length: bool) -> Embed:
    """The network with its batch normalisations inside its convolutions, and what follows these done with them."""
    whole = Exported(copy.deepcopy(network), unit_length=unit_length).eval()
    example = torch.zeros((2, 3, network.preprocessing.height, network.preprocessing.width), dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather compile, which takes a compiler and most of a minute
        traced = torch.jit.trace(whole, example, check_trace=False)  # type: ignore[no-untyped-call]
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(traced))

    @torch.inference_mode()
    def embedded(part: Sequence[Pixels]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = frozen(stack_pictures(part)).numpy()
        return embeddings

    return lambda pictures: np.concatenate(in_parts(embedded, pictures))


def stack_pictures(pictures: Sequence[Pixels]) -> torch.Tensor:
    """One tensor, uint8 (pictures, 3, height, width); colours of a pixel lie side by side, which is quicker there."""
    together = np.stack([picture.transpose(1, 2, 0) for picture in pictures])
    return torch.from_numpy(together).permute(0, 3, 1, 2)


WAYS: Final[dict[str, Callable[[Network, bool], Embed]]] = {
    "onnxruntime, float32": _by_onnxruntime,
    "torch, frozen, float32": _by_frozen_torch,
}
"""By the name that is shown, the quickest first."""
