"""The `samecar plot` commands: each writes a figure as PNG and as SVG."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.options import Device, Source, Workers
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from samecar.experiment.evaluate import ScoredRun
    from samecar.models import Embedder

plot = typer.Typer(help="Draw figures of models, runs and data, as PNG and SVG.", no_args_is_help=True)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="run folder of `samecar train`")]
Picture = Annotated[Path, typer.Argument(help="a picture of a vehicle")]
Query = Annotated[str | None, typer.Option(help="end of a query's path; default: one of middling average precision")]
Out = Annotated[Path, typer.Option("-o", "--out", help="files to write, without .png and .svg")]


@plot.command()
def features(
    picture: Picture,
    run: Annotated[Path | None, typer.Option(help="a trained model; without it that of --recipe, untrained")] = None,
    recipe: Annotated[str, typer.Option(help="a recipe whose model, with its weights, is shown")] = "report-resnet18",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="change an option of the recipe")
    ] = None,
    out: Out = Path("features"),
) -> None:
    """Feature maps of a network's stages (the report's figure 1)."""
    from samecar.data.pictures import read_picture
    from samecar.report.figures.features import features_figure

    model, name = _model(run, recipe, changes or [])
    _write(features_figure(model, read_picture(picture), title=f"Feature maps: {name}"), out)


@plot.command()
def augmentations(
    picture: Picture,
    width: Annotated[int, typer.Option(min=8, help="in pixels")] = 224,
    height: Annotated[int, typer.Option(min=8, help="in pixels")] = 224,
    seed: Annotated[int, typer.Option(help="of what happens at random")] = 1,
    out: Out = Path("augmentations"),
) -> None:
    """A picture under each augmentation (the report's figure 2)."""
    from samecar.data.pictures import read_picture
    from samecar.report.figures.augmentations import augmentations_figure

    _write(augmentations_figure(read_picture(picture), size=(height, width), seed=seed), out)


@plot.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="run folders")],
    label: Annotated[
        list[str] | None,
        typer.Option(help="a run's name in the legend, in the runs' order; default: its recipe's title, or its folder"),
    ] = None,
    metric: Annotated[str, typer.Option(help="a name in metrics.jsonl, such as accuracy")] = "loss",
    smoothing: Annotated[float, typer.Option(help="weight of the past, from 0 to below 1")] = 0.6,
    title: Annotated[str, typer.Option(help="of the figure")] = "Training",
    out: Out = Path("curves"),
) -> None:
    """Training loss of several runs (the report's figures 3 and 4)."""
    from samecar.report.figures.curves import curves_figure
    from samecar.training import Run

    labels = label or [folder.resolve().name for folder in runs]
    if len(labels) != len(runs) or len(set(labels)) != len(labels):
        raise SamecarError(
            f"{len(runs)} runs need as many different labels, not {', '.join(labels)}; give --label each"
        )
    named = {name: Run.open(folder) for name, folder in zip(labels, runs, strict=True)}
    _write(curves_figure(named, metric=metric, smoothing=smoothing, title=title), out)


@plot.command()
def ranks(
    run: RunFolder,
    source: Source,
    query: Query = None,
    count: Annotated[int, typer.Option(min=1, help="gallery pictures to show")] = 20,
    device: Device = "auto",
    workers: Workers = None,
    out: Out = Path("ranks"),
) -> None:
    """A query and its nearest gallery pictures, right and wrong told apart (the report's figure 5)."""
    from samecar.report.sheets import ranks_figure

    scored = _scored(run, source, device, workers)
    _write(ranks_figure([scored.ranked(query, count)]), out)


@plot.command()
def activation(
    run: RunFolder,
    source: Source,
    query: Query = None,
    device: Device = "auto",
    workers: Workers = None,
    out: Out = Path("activation"),
) -> None:
    """Where a query is like its match, and like the nearest wrong picture: class activation maps."""
    from samecar.data.pictures import read_picture
    from samecar.experiment.evaluate import telling_results
    from samecar.report.figures.activation import activation_figure
    from samecar.training import Run

    scored = _scored(run, source, device, workers)
    ranked = scored.ranked(query, len(scored.gallery))
    others = [(heading, read_picture(path)) for heading, path in telling_results(ranked)]
    title = f"Where the embeddings' similarity comes from: query {ranked.path.name}"
    _write(activation_figure(Run.open(run).load_model(), read_picture(ranked.path), others, title=title), out)


@plot.command()
def embeddings(
    run: RunFolder,
    source: Source,
    colour_by: Annotated[str, typer.Option(help="vehicle or camera")] = "vehicle",
    vehicles: Annotated[int, typer.Option(min=2, help="vehicles to show, drawn at random")] = 12,
    seed: Annotated[int, typer.Option(help="of drawing them and of the layout")] = 1,
    device: Device = "auto",
    workers: Workers = None,
    out: Out = Path("embeddings"),
) -> None:
    """A map of query and gallery embeddings (t-SNE), marked by vehicle or camera."""
    from samecar.report.figures.embedding_map import embedding_map_figure

    if colour_by not in ("vehicle", "camera"):
        raise SamecarError(f"--colour-by is {colour_by!r}; it can be vehicle or camera")
    pictures = _scored(run, source, device, workers).pictures()
    title = f"Query and gallery pictures by {colour_by}: {run.resolve().name}"
    figure = embedding_map_figure(
        pictures, colour_by="camera" if colour_by == "camera" else "vehicle", vehicles=vehicles, seed=seed, title=title
    )
    _write(figure, out)


@plot.command()
def distances(
    run: RunFolder,
    source: Source,
    distance: Annotated[str, typer.Option(help="euclidean or cosine")] = "euclidean",
    device: Device = "auto",
    workers: Workers = None,
    out: Out = Path("distances"),
) -> None:
    """Distances between queries and gallery pictures of the same and of different vehicles."""
    from samecar.report.figures.pairs import count_distances, distances_figure
    from samecar.similarity.distances import find_distance

    chosen = find_distance(distance)
    scored = _scored(run, source, device, workers)
    counts = count_distances(scored.query, scored.gallery, scored.protocol, distance=chosen)
    title = f"Queries and gallery pictures: {run.resolve().name}"
    _write(distances_figure(counts, title=title, distance=chosen), out)


def _model(run: Path | None, recipe: str, changes: list[str]) -> "tuple[Embedder, str]":
    from samecar.config import load_recipe
    from samecar.experiment.train import initial_model
    from samecar.training import Run

    if run is not None:
        opened = Run.open(run)
        return opened.load_model(), f"{opened.recipe.model.backbone}, trained ({run.resolve().name})"
    loaded = load_recipe(recipe, changes)
    return initial_model(loaded, 0), f"{loaded.model.backbone}, weights {loaded.model.weights}"


def _scored(run: Path, source: str, device: str, workers: int | None) -> "ScoredRun":
    from samecar.experiment.evaluate import score_run
    from samecar.hardware import machine
    from samecar.training import Run

    opened = Run.open(run)
    manifest = console.open_aloud(source)
    with console.progress_bars() as progress:
        return score_run(opened, manifest, on=machine(device, workers), progress=progress)


def _write(figure: "Figure", out: Path) -> None:
    from samecar.report.figures.style import save_figure

    for path in save_figure(figure, out):
        console.say(str(path))
