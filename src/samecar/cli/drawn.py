"""The commands `samecar demo` and `samecar draw`: vehicles that are drawn, and the whole way on them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Place
from samecar.cli.settings import OptionsOf, Spelling
from samecar.errors import SamecarError

OF_A_TWIN = ("size", "seed", "workers")
"""Settings that a twin has too; the others are its lists'."""

Drawing = Annotated[
    dict[str, Any],
    OptionsOf("samecar.drawn.sets:draw_set", {"workers": Spelling(low=0)}, without=("progress",), only_given=True),
]
Seed = Annotated[dict[str, Any], OptionsOf("samecar.drawn.sets:draw_set", only=("seed",))]


@examples("samecar demo", "samecar demo -o /tmp/demo --seed 2")
def demo(
    seed: Seed,
    on: Place,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="folder to write into; a demo begun there is taken up again")
    ] = Path("samecar-demo"),
) -> None:
    """Draws vehicles, trains a small network on some, and finds the others: the whole way, without data or network."""
    from samecar.drawn.demo import run_demo
    from samecar.hardware import machine

    with console.progress_bars() as progress:
        result = run_demo(out, **seed, on=machine(**on), progress=progress)
    console.print_evaluation(result.trained, result.untrained)
    console.say(
        f"Vehicles that it has never seen: rank-1 {100 * result.untrained.cmc[1]:.1f} before training, "
        f"{100 * result.trained.cmc[1]:.1f} after."
    )
    console.say(f"Drawn pictures: {result.pictures}")
    console.say(f"Open the report: {result.report}")


@examples("samecar draw vehicles --vehicles 100 --cameras 8", "samecar draw twin --names VeRi --size 224")
def draw(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="folder to make")],
    settings: Drawing,
    names: Annotated[
        Path | None, typer.Option(help="draw a twin of the data set whose lists lie in this folder")
    ] = None,
) -> None:
    """Draws a set of vehicles in VeRi-776's layout, or a twin of a set whose lists are given."""
    from samecar.drawn import draw_set, draw_twin

    unused = [name for name in settings if names is not None and name not in OF_A_TWIN]
    if unused:
        raise SamecarError(
            f"--{unused[0]} {settings[unused[0]]} has no say beside --names, whose lists tell what is drawn; leave "
            f"--{unused[0]} out"
        )
    with console.progress_bars() as progress:
        tell = partial(progress, "drawing")
        if names is None:
            drawn = draw_set(out, **settings, progress=tell)
        else:
            drawn = draw_twin(names, out, **settings, progress=tell)
    console.say(
        f"{out}: {drawn.vehicles} vehicles by {drawn.cameras} cameras; {drawn.train:,} train, {drawn.query:,} query "
        f"and {drawn.gallery:,} gallery pictures"
    )
    console.say(f"Use it as --data veri776:{out}")
