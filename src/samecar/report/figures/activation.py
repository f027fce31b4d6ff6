"""Where two pictures are alike to a model: class activation maps of their similarity.

The embedders are trained to compare, so what is explained is not the score of a class but the cosine of two embeddings,
e · f / (|e| |f|). The maps follow Grad-CAM (Selvaraju et al., arXiv 1610.02391, equations 1 and 2): the gradient of the
score with respect to the last feature map A, averaged over its places, weighs the channels,

    map = max(0, sum over channels k of a_k · A_k),    a_k = mean over places of d score / d A_k.

The lengths |e| and |f| are held fixed in the gradient. Otherwise it stands at right angles to the embedding and tells
what would raise the cosine, not what it consists of. Where the embedding is the average of the map itself, the sum over
the map before the cut at 0 is then the cosine: the decomposition of Stylianou et al. (arXiv 1901.00536). With batch
normalisation and ReLU in the head it is that of the linear piece on which the embedding lies, but for what biases add.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from samecar.errors import SamecarError
from samecar.models import Embedder
from samecar.report.figures.features import prepared
from samecar.report.figures.style import SMALL, add_caption, drawing, line_height

OPACITY = 0.55


def similarity_maps(
    model: Embedder, first: Image.Image, second: Image.Image
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Says where in two pictures the cosine of their embeddings comes from.

    Args:
        model: a convolutional one.
        first: RGB.
        second: RGB.

    Returns:
        A map of (height, width) of the model's pictures for each, from 0 to 1, and the cosine. A map is 0 everywhere
        if no place speaks for the similarity.

    Raises:
        SamecarError: the model has no feature maps.
    """
    if not model.backbone.stages:
        raise SamecarError(
            f"model.backbone {model.settings.backbone!r} has no feature maps to weigh; choose a convolutional one"
        )
    model.eval()
    with torch.enable_grad():
        pictures = torch.cat([prepared(model, first), prepared(model, second)])
        branches = model.maps(pictures)  # of each branch (2, channels, rows, columns)
        embeddings = model.embed_maps(branches)
        directions = embeddings / embeddings.detach().norm(dim=1, keepdim=True)
        cosine = (directions[0] * directions[1]).sum()
        gradients = torch.autograd.grad(cosine, branches)
    taken = model.preprocessing
    weighed = [
        (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True)
        for gradient, maps in zip(gradients, branches, strict=True)
    ]
    raw = functional.relu(torch.stack(weighed).sum(dim=0)).detach()
    spread = functional.interpolate(raw, (taken.height, taken.width), mode="bilinear", align_corners=False)
    scaled = spread / spread.amax(dim=(2, 3), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    return _array(scaled[0, 0]), _array(scaled[1, 0]), float(cosine.detach())


def activation_figure(
    model: Embedder,
    query: Image.Image,
    others: Sequence[tuple[str, Image.Image]],
    *,
    title: str,
    width: float | None = None,
) -> Figure:
    """Draws a query and other pictures, and below each where the two are alike.

    Args:
        model: a convolutional one.
        query: RGB.
        others: a heading and an RGB picture each, such as the query's match and its nearest wrong picture.
        title: of the figure; an empty one is none.
        width: in inches; by default a picture is about an inch and a half wide.
    """
    width = 3.4 * len(others) + 0.4 if width is None else width
    taken = model.preprocessing
    cell = width / (2 * len(others)) * taken.height / taken.width
    with drawing(width, 2 * cell + 4 * line_height(width), title) as figure:
        last = model.backbone.stages[-1]
        add_caption(
            figure,
            f"Bright: what speaks for the similarity (Grad-CAM of the cosine), {last.height} × {last.width} places, "
            "interpolated.",
        )
        parts = figure.subfigures(1, len(others), wspace=0.06, squeeze=False)
        for part, (heading, picture) in zip(parts[0], others, strict=True):
            of_query, of_other, cosine = similarity_maps(model, query, picture)
            part.suptitle(f"cosine {cosine:.2f}", size="medium")
            axes = part.subplots(2, 2)
            for column, (name, shown, heat) in enumerate([("query", query, of_query), (heading, picture, of_other)]):
                resized = shown.resize((taken.width, taken.height))
                axes[0, column].imshow(resized)
                axes[0, column].set_title(name.replace(", ", ",\n"), size=SMALL)
                axes[1, column].imshow(resized.convert("L"), cmap="gray")
                axes[1, column].imshow(heat, cmap="inferno", alpha=OPACITY, vmin=0, vmax=1)
            for each in axes.flat:
                each.set_axis_off()
    return figure


def _array(values: Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = values.cpu().numpy().astype(np.float32)
    return result
