"""What the stages of a convolutional network see in a picture."""

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from samecar.data import evaluation_transform
from samecar.errors import SamecarError
from samecar.models import Embedder
from samecar.report.figures.style import MUTED, SMALL, WIDTHS, drawing, line_height, text_size, text_width

COLUMNS = 8


def features_figure(
    model: Embedder, picture: Image.Image, *, title: str, columns: int = COLUMNS, width: float | None = None
) -> Figure:
    """Draws the picture, and below it a row of feature maps for each stage.

    Of a stage's channels those are drawn whose maps vary most over the picture, each scaled to its own range.

    Args:
        model: a convolutional one.
        picture: RGB, of any size.
        title: of the figure; an empty one is none.
        columns: maps in a row.
        width: in inches; by default a map is about an inch wide.

    Raises:
        SamecarError: the model has no stages, or the width is out of range.
    """
    maps = stage_maps(model, picture)
    width = max(WIDTHS[0], 1.05 * columns + 1.1) if width is None else width
    sizes = [" × ".join(map(str, stage.shape)) for stage in maps]
    heading = max(text_width(size, text_size(width)) for size in sizes)
    cell = (width - heading) / columns
    row_height = cell * model.preprocessing.height / model.preprocessing.width + line_height(width, SMALL)
    with drawing(width, (len(maps) + 1) * row_height, title) as figure:
        grid = figure.add_gridspec(len(maps) + 1, columns + 1, width_ratios=[heading] + [cell] * columns)
        axes = figure.add_subplot(grid[0, 1])
        axes.imshow(picture.resize((model.preprocessing.width, model.preprocessing.height)))
        axes.set_axis_off()
        text = figure.add_subplot(grid[0, 0])
        text.text(1, 0.5, "picture", ha="right", va="center")
        text.set_axis_off()
        for row, stage in enumerate(maps, start=1):
            text = figure.add_subplot(grid[row, 0])
            text.set_axis_off()
            text.text(1, 0.5, f"stage {row}", ha="right", va="bottom")
            text.text(1, 0.47, sizes[row - 1], ha="right", va="top", size=SMALL, color=MUTED)
            for column, channel in enumerate(_most_varied(stage, columns)):
                axes = figure.add_subplot(grid[row, column + 1])
                axes.imshow(stage[channel].numpy(), cmap="viridis", interpolation="nearest")
                axes.set_axis_off()
                axes.set_title(f"{channel}", size=SMALL, pad=2, color=MUTED)
    return figure


def stage_maps(model: Embedder, picture: Image.Image) -> list[Tensor]:
    """The map at the end of each stage, (channels, height, width) each.

    Raises:
        SamecarError: the model has no stages.
    """
    stages = [stage for stage in model.backbone.stages if stage.module is not None]
    if not stages:
        raise SamecarError(
            f"model.backbone {model.settings.backbone!r} has no stages of feature maps; choose a convolutional one"
        )
    maps: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        maps.append(output[0].detach().cpu())

    network = model.backbone.model
    handles = [network.get_submodule(str(stage.module)).register_forward_hook(keep) for stage in stages]
    try:
        with torch.no_grad():
            model.eval()(prepared(model, picture))
    finally:
        for handle in handles:
            handle.remove()
    return maps


def prepared(model: Embedder, picture: Image.Image) -> Tensor:
    """The picture as the model takes it, (1, 3, height, width), where the model is."""
    return evaluation_transform(model.preprocessing)(picture)[None].to(next(model.parameters()).device)


def _most_varied(maps: Tensor, count: int) -> list[int]:
    """Channels whose maps have the largest standard deviation, in their own order."""
    deviation = maps.flatten(1).std(dim=1, correction=0)
    return sorted(deviation.argsort(descending=True)[:count].tolist())
