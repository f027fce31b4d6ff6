"""The `samecar` command."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from samecar.cli import console
from samecar.cli import score as scoring
from samecar.cli.calibrate import calibrate, compare
from samecar.cli.data import data
from samecar.cli.gallery import gallery
from samecar.cli.ingest import ingest
from samecar.cli.options import Device, Json, Source, Workers
from samecar.cli.plot import plot
from samecar.cli.process import prepare_process
from samecar.cli.recipes import recipes
from samecar.cli.reproduce import reproduce
from samecar.cli.search import search
from samecar.cli.serve import serve
from samecar.errors import SamecarError
from samecar.version import __version__

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for a command or an option that does not exist; it has no public name."""


class Commands(TyperGroup):
    """The commands; an error that a user can mend is one sentence and exit status 2, an interruption is 130."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs the command line; a misspelt command or option is one sentence too."""
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except UsageError as error:
            console.fail_usage(error)
            status = 2
        sys.exit(status)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            with console.interruptible("what was finished is kept"):
                return super().invoke(ctx)
        except SamecarError as error:
            console.fail(str(error))
            raise typer.Exit(2) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            console.fail(f"{place}{error.strerror or error}; choose another place, or mend this one")
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    help="Vehicle re-identification: given a picture of a vehicle, find the same vehicle in all the others.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Changes = Annotated[list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="change a recipe's option")]
Flip = Annotated[bool, typer.Option("--flip", help="average each embedding with that of the mirrored picture")]


def main() -> None:
    """Runs the command line."""
    prepare_process()
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(f"samecar {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="folder to write into; a demo begun there is taken up again")] = Path(
        "samecar-demo"
    ),
    seed: Annotated[int, typer.Option(help="of drawing and training")] = 1,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Draws vehicles, trains a small network on some, and finds the others: the whole way, without data or network."""
    from samecar.drawn.demo import run_demo
    from samecar.hardware import machine

    with console.progress_bars() as progress:
        result = run_demo(out, seed=seed, on=machine(device, workers), progress=progress)
    console.print_evaluation(result.trained, result.untrained)
    console.say(
        f"Vehicles that it has never seen: rank-1 {100 * result.untrained.cmc[1]:.1f} before training, "
        f"{100 * result.trained.cmc[1]:.1f} after."
    )
    console.say(f"Drawn pictures: {result.pictures}")
    console.say(f"Open the report: {result.report}")


@app.command()
def draw(
    out: Annotated[Path, typer.Argument(help="folder to make")],
    vehicles: Annotated[int, typer.Option(help="vehicles in all; a quarter of them are for testing")] = 60,
    cameras: Annotated[int, typer.Option(help="cameras in all")] = 6,
    pictures: Annotated[int, typer.Option(help="pictures of a vehicle by a camera, on average")] = 4,
    size: Annotated[int, typer.Option(help="longer side in pixels")] = 128,
    seed: Annotated[int, typer.Option(help="the same seed gives the same bytes")] = 1,
    names: Annotated[
        Path | None, typer.Option(help="draw a twin of the data set whose lists lie in this folder")
    ] = None,
    workers: Workers = None,
) -> None:
    """Draws a set of vehicles in VeRi-776's layout, or a twin of a set whose lists are given."""
    from functools import partial

    from samecar.drawn import draw_set, draw_twin

    with console.progress_bars() as progress:
        tell = partial(progress, "drawing")
        if names is None:
            drawn = draw_set(
                out,
                vehicles=vehicles,
                cameras=cameras,
                pictures=pictures,
                size=size,
                seed=seed,
                workers=workers,
                progress=tell,
            )
        else:
            drawn = draw_twin(names, out, size=size, seed=seed, workers=workers, progress=tell)
    console.say(
        f"{out}: {drawn.vehicles} vehicles by {drawn.cameras} cameras; {drawn.train:,} train, {drawn.query:,} query "
        f"and {drawn.gallery:,} gallery pictures"
    )
    console.say(f"Use it as --data veri776:{out}")


app.command()(recipes)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="a shipped recipe's name or a TOML file")],
    source: Source,
    out: Annotated[Path, typer.Option(help="run folder to make")],
    changes: Changes = None,
    validation: Annotated[
        float | None,
        typer.Option(help="share of train vehicles held out to choose the epoch; as --set training.validation"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue the run in --out")] = False,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Trains a model, and scores it where the source has query and gallery pictures."""
    from samecar.config import load_recipe
    from samecar.evaluation.test_sets import is_test_set, protocol_of, refuse_unscorable
    from samecar.experiment.evaluate import evaluate as evaluate_run
    from samecar.experiment.train import train as train_run
    from samecar.hardware import machine

    options = [*(changes or []), *([] if validation is None else [f"training.validation={validation}"])]
    settings = load_recipe(recipe, options)
    manifest = console.open_aloud(source)
    on = machine(device, workers)
    scorable = is_test_set(manifest)
    if scorable:
        refuse_unscorable(manifest, protocol_of(manifest))
    with (
        console.interruptible("what was finished is kept, and `--resume` continues a training run"),
        console.progress_bars() as progress,
    ):
        run = train_run(settings, manifest, out, resume=resume, on=on, progress=progress)
        evaluation = evaluate_run(run, manifest, on=on, progress=progress) if scorable else None
    for sentence in run.unreadable():
        console.warn(f"left out of training: {sentence}")
    console.say(f"Trained {out}: recipe {settings.digest}, {run.model_facts()['epoch_choice']}")
    if evaluation is None:
        console.say("The source has no query and gallery pictures; score the run with `samecar evaluate`.")
    else:
        console.print_evaluation(evaluation)
        console.say(f"Open the report: {out / 'report.html'}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="run folder of `samecar train`")],
    source: Source,
    protocol: Annotated[str | None, typer.Option(help="rules of scoring; default: those of the source")] = None,
    distance: scoring.Distance = "euclidean",
    junk: scoring.Junk = None,
    cmc: scoring.Cmc = "1,5,10,20",
    interpolation: scoring.Interpolation = "none",
    flip: Flip = False,
    rerank: scoring.Rerank = None,
    query_expansion: scoring.QueryExpansion = None,
    database_augmentation: scoring.DatabaseAugmentation = None,
    float64: scoring.Float64 = False,
    bootstrap: scoring.Bootstrap = 1000,
    json: Json = False,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Scores a trained model on a source's query and gallery pictures, and writes report.html."""
    from samecar.evaluation import find_protocol, with_junk
    from samecar.evaluation.test_sets import protocol_of
    from samecar.experiment.evaluate import evaluate as evaluate_run
    from samecar.experiment.evaluate import trained_vehicles
    from samecar.hardware import machine
    from samecar.similarity.distances import find_distance
    from samecar.training import Run

    opened = Run.open(run)
    rules = find_protocol(protocol) if protocol else None
    on = machine(device, workers)
    options = scoring.options(
        cmc=cmc,
        interpolation=interpolation,
        rerank=rerank,
        query_expansion=query_expansion,
        database_augmentation=database_augmentation,
        float64=float64,
        bootstrap=bootstrap,
        device=on.device.type,
    )
    kind = find_distance(distance)
    manifest = console.open_aloud(source)
    trained = trained_vehicles(opened, manifest)
    if trained:
        console.warn(
            f"{trained} test vehicles are called as vehicles that {run} was trained on; if they are the same ones, the "
            "scores say nothing about vehicles never seen"
        )
    with console.progress_bars() as progress:
        evaluation = evaluate_run(
            opened,
            manifest,
            protocol=with_junk(rules or protocol_of(manifest), junk),
            distance=kind,
            options=options,
            flip=flip,
            on=on,
            progress=progress,
        )
    if json:
        console.print_json(evaluation.as_dict())
    else:
        console.print_evaluation(evaluation)
        console.print_details(evaluation)
        console.say(f"Open the report: {run / 'report.html'}")


@app.command()
def embed(
    run: Annotated[Path, typer.Argument(help="run folder of `samecar train`")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="pictures, as NAME:PATH")],
    out: Annotated[Path, typer.Option("-o", "--out", help=".npz file to write")],
    flip: Flip = False,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Embeds every picture of a source with a trained model."""
    from samecar.embedding.embeddings import refuse_name
    from samecar.experiment.evaluate import embed_with
    from samecar.hardware import machine
    from samecar.training import Run

    refuse_name(out)
    opened = Run.open(run)
    manifest = console.open_aloud(source)
    with console.progress_bars() as progress:
        embeddings = embed_with(opened, manifest, flip=flip, on=machine(device, workers), progress=progress)
    embeddings.save(out)
    rows, size = embeddings.matrix.shape
    console.say(f"{out}: {rows} embeddings of {size} numbers, model {embeddings.model}")


app.command()(scoring.score)
app.command("compare-runs")(scoring.compare_runs)
app.command()(calibrate)
app.command()(compare)
app.add_typer(data, name="data")
app.add_typer(plot, name="plot")
app.add_typer(gallery, name="gallery")
app.command()(search)
app.command()(ingest)
app.command()(reproduce)
app.command()(serve)
