"""The `samecar plot` commands: each writes a figure as PDF, SVG or PNG."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import add_command, examples, group_with
from samecar.cli.measure import OLD_NAMES, RunDistance
from samecar.cli.options import Changes, Place, RunFolder, Source, refuse_two_values
from samecar.cli.settings import OptionsOf, Spelling
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from samecar.experiment.evaluate import ScoredRun
    from samecar.models import Embedder
    from samecar.report.figures.style import Sheet

plot = typer.Typer(
    cls=group_with(
        "samecar plot ranks runs/first --data veri776:VeRi",
        "samecar plot curves runs/first -o loss.pdf --width 3.5 --title ''",
    ),
    help="Draw figures of models, runs and data, as PDF, SVG or PNG.",
    no_args_is_help=True,
)

FIGURES = "samecar.report.figures"

UNTRAINED = "report-resnet18"
"""The recipe whose network is shown where no other and no run is given."""

ON_SHEET = ("title", "width")
"""What a figure takes of its sheet."""

Picture = Annotated[Path, typer.Argument(metavar="PICTURE", help="a picture of a vehicle")]
Query = Annotated[str | None, typer.Option(help="end of a query's path; default: one of middling average precision")]


def writable(out: Path) -> Path:
    """What `--out` means; a suffix that no figure has is refused before anything is computed."""
    from samecar.report.figures.style import figure_files

    figure_files(out)
    return out


Out = Annotated[
    Path,
    typer.Option(
        "-o", "--out", callback=writable, help="file to write: .pdf, .svg or .png; without one of these, .png and .svg"
    ),
]
OnSheet = Annotated["Sheet", OptionsOf(f"{FIGURES}.style:Sheet")]


@examples(
    "samecar plot features crops/v1_c1.png --run runs/first",
    "samecar plot features crops/v1_c1.png --weights resnet18.pth -o features.pdf",
)
def features(
    picture: Picture,
    sheet: OnSheet,
    run: Annotated[
        Path | None,
        typer.Option(
            help="a trained model: a run folder, or a folder with model.json and model.safetensors; without it that "
            "of --recipe, untrained"
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="a recipe whose model, with its weights, is shown", show_default=UNTRAINED),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="weights of the recipe's model, such as a file; as --set model.weights=…")
    ] = None,
    changes: Changes = None,
    out: Out = Path("features"),
) -> None:
    """Feature maps of a network's stages (the report's figure 1)."""
    from samecar.data.pictures import read_picture
    from samecar.report.figures.features import features_figure

    changed = [*([f"model.weights={weights}"] if weights else []), *(changes or [])]
    refuse_two_values(changed)
    if run is None:
        model, name = _recipe_model(recipe or UNTRAINED, changed)
    elif changed or recipe:
        raise SamecarError(
            f"--run shows the model of {run} as it is; leave out --recipe, --weights and --set, or --run"
        )
    else:
        model, name = _trained_model(run)
    figure = features_figure(model, read_picture(picture), **sheet.settings(f"Feature maps: {name}"))
    _write(figure, out, sheet)


@examples(
    "samecar plot augmentations crops/v1_c1.png --picture-width 128 --picture-height 128",
    "samecar plot augmentations crops/v1_c1.png --kinds all",
)
def augmentations(
    picture: Picture,
    settings: Annotated[
        dict[str, Any],
        OptionsOf(
            f"{FIGURES}.augmentations:augmentations_figure",
            {"picture_width": Spelling(low=8), "picture_height": Spelling(low=8)},
            without=ON_SHEET,
        ),
    ],
    sheet: OnSheet,
    out: Out = Path("augmentations"),
) -> None:
    """A picture under each augmentation (the report's figure 2)."""
    from samecar.data.pictures import read_picture
    from samecar.report.figures.augmentations import augmentations_figure

    _write(augmentations_figure(read_picture(picture), **settings, **sheet.settings()), out, sheet)


@examples("samecar plot curves runs/first runs/second --metric accuracy -o accuracy")
def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="run folders")],
    settings: Annotated[dict[str, Any], OptionsOf(f"{FIGURES}.curves:curves_figure", without=ON_SHEET)],
    sheet: OnSheet,
    label: Annotated[
        list[str] | None,
        typer.Option(help="a run's name in the legend, in the runs' order; default: its folder's name"),
    ] = None,
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
    _write(curves_figure(named, **settings, **sheet.settings()), out, sheet)


@examples("samecar plot ranks runs/first --data veri776:VeRi --count 10")
def ranks(
    run: RunFolder,
    source: Source,
    count: Annotated[
        dict[str, Any],
        OptionsOf("samecar.experiment.evaluate:ScoredRun.ranked", {"count": Spelling(low=1)}, only=("count",)),
    ],
    on: Place,
    sheet: OnSheet,
    query: Query = None,
    out: Out = Path("ranks"),
) -> None:
    """A query and its nearest gallery pictures, right and wrong told apart (the report's figure 5)."""
    from samecar.report.figures.ranks import ranks_figure

    scored = _score_run(run, source, on)
    _write(ranks_figure([scored.ranked(query, **count)], **sheet.settings()), out, sheet)


@examples("samecar plot activation runs/first --data veri776:VeRi")
def activation(
    run: RunFolder,
    source: Source,
    on: Place,
    sheet: OnSheet,
    query: Query = None,
    out: Out = Path("activation"),
) -> None:
    """Where a query is like its match, and like the nearest wrong picture: class activation maps."""
    from samecar.data.pictures import read_picture
    from samecar.experiment.evaluate import telling_results
    from samecar.report.figures.activation import activation_figure
    from samecar.training import Run

    model = Run.open(run).load_model()
    scored = _score_run(run, source, on)
    ranked = scored.ranked(query, len(scored.gallery))
    others = [(heading, read_picture(path)) for heading, path in telling_results(ranked)]
    title = f"Where the embeddings' similarity comes from: query {ranked.path.name}"
    figure = activation_figure(model, read_picture(ranked.path), others, **sheet.settings(title))
    _write(figure, out, sheet)


@examples("samecar plot embeddings runs/first --data veri776:VeRi --colour-by camera")
def embeddings(
    run: RunFolder,
    source: Source,
    settings: Annotated[
        dict[str, Any],
        OptionsOf(f"{FIGURES}.embedding_map:embedding_map_figure", {"vehicles": Spelling(low=2)}, without=ON_SHEET),
    ],
    on: Place,
    sheet: OnSheet,
    out: Out = Path("embeddings"),
) -> None:
    """A map of query and gallery embeddings (t-SNE), marked by vehicle or camera."""
    from samecar.report.figures.embedding_map import embedding_map_figure

    if settings["colour_by"] not in ("vehicle", "camera"):
        raise SamecarError(f"--colour-by is {settings['colour_by']!r}; it can be vehicle or camera")
    pictures = _score_run(run, source, on).pictures()
    title = f"Query and gallery pictures by {settings['colour_by']}: {run.resolve().name}"
    _write(embedding_map_figure(pictures, **settings, **sheet.settings(title)), out, sheet)


@examples("samecar plot distances runs/first --data veri776:VeRi --distance cosine")
def distances(
    run: RunFolder,
    source: Source,
    distance: RunDistance,
    on: Place,
    sheet: OnSheet,
    out: Out = Path("distances"),
) -> None:
    """Distances between queries and gallery pictures of the same and of different vehicles."""
    from samecar.report.figures.pairs import count_distances, distances_figure

    scored = _score_run(run, source, on)
    chosen = distance.get("distance", scored.distance)
    counts = count_distances(scored.query, scored.gallery, scored.protocol, distance=chosen)
    title = f"Queries and gallery pictures: {run.resolve().name}"
    _write(distances_figure(counts, distance=chosen, **sheet.settings(title)), out, sheet)


def _trained_model(run: Path) -> "tuple[Embedder, str]":
    from samecar.embedding.encoder import Encoder
    from samecar.models import Embedder

    model = Encoder.open(run, device="cpu").runtime.network
    if not isinstance(model, Embedder):
        raise SamecarError(f"{run} is several models or a reduced one; name the run whose feature maps are to be shown")
    return model, f"{model.settings.backbone}, trained ({run.resolve().name})"


def _recipe_model(recipe: str, changes: list[str]) -> "tuple[Embedder, str]":
    from samecar.config import load_recipe
    from samecar.experiment.train import initial_model

    loaded = load_recipe(recipe, changes)
    return initial_model(loaded, 0), f"{loaded.model.backbone}, weights {loaded.model.weights}"


def _score_run(run: Path, source: str, on: dict[str, Any]) -> "ScoredRun":
    from samecar.experiment.composite import as_model
    from samecar.experiment.evaluate import score_run
    from samecar.hardware import machine

    opened = as_model(run)
    manifest = console.open_aloud(source)
    with console.progress_bars() as progress:
        return score_run(opened, manifest, on=machine(**on), progress=progress)


def _write(figure: "Figure", out: Path, sheet: "Sheet") -> None:
    from samecar.report.figures.style import save_figure

    for path in save_figure(figure, out, dpi=sheet.dpi):
        console.say(str(path))


for _command in (features, augmentations, curves, ranks, activation, embeddings):
    add_command(plot, _command)
add_command(plot, distances, old_names=OLD_NAMES)
