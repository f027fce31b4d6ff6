"""The `samecar watch` commands, and what commands that add pictures have in common: telling what was seen."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import add_command, examples, group_with
from samecar.cli.options import Device, Engine, Json
from samecar.cli.settings import OptionsOf, Spelling
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.retrieval.gallery import Gallery
    from samecar.watching import EventSettings, WatchList

watch = typer.Typer(
    cls=group_with("samecar watch add stolen-1 stolen.jpg --gallery garage", "samecar watch list --gallery garage"),
    help="Name vehicles that are looked for in all that is added to a gallery.",
    no_args_is_help=True,
)

Of = Annotated[
    str, typer.Option("--gallery", metavar="GALLERY", help="gallery that keeps the list; with --engine its name there")
]
Vehicle = Annotated[str, typer.Argument(metavar="NAME", help="of the vehicle")]
Rate = Annotated[
    float | None,
    typer.Option(
        show_default=False,
        help="share of passages of other vehicles that may raise an alarm, for the whole list from now on; default: "
        "as it is, at first that of the gallery's calibration",
    ),
]
Events = Annotated[
    "EventSettings",
    OptionsOf(
        "samecar.watching.announcing:EventSettings",
        {"events": Spelling(metavar="FILE"), "webhook": Spelling(metavar="ADDRESS")},
    ),
]


@examples(
    "samecar watch add stolen-1 stolen.jpg --gallery garage",
    "samecar watch add taxi-7 front.jpg back.jpg --gallery garage --false-alarm-rate 0.001",
)
def add(
    vehicle: Vehicle,
    picture: Annotated[list[Path], typer.Argument(metavar="PICTURE", help="pictures of it, cropped as the gallery's")],
    gallery: Of,
    device: Device,
    false_alarm_rate: Rate = None,
    engine: Engine = None,
) -> None:
    """Looks for a vehicle in all that is added to a gallery from now on; what it holds already `search` finds."""
    from samecar.retrieval.gallery import Gallery
    from samecar.watching.watch_list import WatchList, change_watch_list, refuse_uncalibrated, watch_pictures

    with Gallery.open(gallery, engine=engine, **device) as opened:
        refuse_uncalibrated(opened)
        pictures = watch_pictures(opened, vehicle, picture)

        def change(old: WatchList) -> WatchList:
            new = old.with_pictures(pictures)
            return new if false_alarm_rate is None else new.with_rate(false_alarm_rate)

        _print_list(change_watch_list(opened, change), opened)


@examples("samecar watch remove stolen-1 --gallery garage")
def remove(
    gallery: Of,
    vehicle: Annotated[str | None, typer.Argument(metavar="NAME", help="of the vehicle")] = None,
    every: Annotated[bool, typer.Option("--all", help="remove every vehicle")] = False,
    engine: Engine = None,
) -> None:
    """Looks for a vehicle no longer, and forgets its pictures."""
    from samecar.retrieval.gallery import Gallery
    from samecar.watching.watch_list import change_watch_list, clear_watch_list

    if every == (vehicle is not None):
        raise SamecarError("give the NAME of a vehicle, or --all")
    with Gallery.open(gallery, engine=engine) as opened:
        if vehicle is None:
            clear_watch_list(opened)
            console.say(f"{gallery}: nobody is looked for")
        else:
            _print_list(change_watch_list(opened, lambda old: old.without(vehicle)), opened)


@examples("samecar watch rate 0.001 --gallery garage")
def rate(
    false_alarm_rate: Annotated[
        float, typer.Argument(metavar="RATE", help="share of passages of other vehicles that may raise an alarm")
    ],
    gallery: Of,
    engine: Engine = None,
) -> None:
    """States the rate of false alarms for the whole list."""
    from samecar.retrieval.gallery import Gallery
    from samecar.watching.watch_list import change_watch_list

    with Gallery.open(gallery, engine=engine) as opened:
        _print_list(change_watch_list(opened, lambda old: old.with_rate(false_alarm_rate)), opened)


@examples("samecar watch list --gallery garage", "samecar watch list --gallery garage --json")
def list_(gallery: Of, engine: Engine = None, json: Json = False) -> None:
    """Prints who is looked for, and from which similarity on."""
    from samecar.retrieval.gallery import Gallery
    from samecar.watching.watch_list import read_watch_list

    with Gallery.open(gallery, engine=engine) as opened:
        watch_list = read_watch_list(opened)
        if not json:
            _print_list(watch_list, opened)
            return
        threshold, stated = _threshold(watch_list, opened)
    vehicles = [
        {
            "vehicle": name,
            "pictures": [picture.model_dump(include={"file", "content", "added"}) for picture in pictures],
        }
        for name, pictures in watch_list.vehicles.items()
    ]
    console.print_json({"vehicles": vehicles, "false_alarm_rate": stated, "threshold": threshold})


def _threshold(watch_list: "WatchList", gallery: "Gallery") -> tuple[float | None, float | None]:
    """The similarity from which a vehicle counts as seen and the stated rate, where these are known."""
    from samecar.watching.watcher import list_threshold

    calibration = gallery.calibration
    if calibration is None or not watch_list.pictures:
        return None, watch_list.false_alarm_rate
    return list_threshold(calibration, watch_list)


def _print_list(watch_list: "WatchList", gallery: "Gallery") -> None:
    if not watch_list.pictures:
        console.say(f"{gallery.name}: nobody is looked for")
        return
    for name, pictures in watch_list.vehicles.items():
        files = ", ".join(picture.file for picture in pictures)
        console.say(f"{name}: {files}, since {min(picture.added for picture in pictures)}")
    threshold, stated = _threshold(watch_list, gallery)
    if threshold is None or stated is None:
        console.warn("the gallery is not calibrated, so that none of these is found; see `samecar gallery calibrate`")
        return
    console.say(
        f"{gallery.name}: seen is who has a similarity of {threshold:.3f} or more; of other vehicles' passages "
        f"{100 * stated:g} % may reach it"
    )


@contextmanager
def announcing(gallery: "Gallery", settings: "EventSettings", json: bool = False) -> Iterator[None]:
    """Tells of vehicles of the watch list that are seen during the block.

    Where events go to standard output, what people read goes to standard error.

    Raises:
        SamecarError: two things should be printed on standard output.
    """
    from samecar.watching import announcing as announce
    from samecar.watching.events import STANDARD_OUTPUT

    if json and settings.events == STANDARD_OUTPUT:
        raise SamecarError("events is '-', and --json prints one object on standard output; give a file to --events")
    with (
        console.words_beside(settings.events == STANDARD_OUTPUT),
        announce(gallery, settings, tell=console.announce, warn=console.warn),
    ):
        yield


for _command in (add, remove, rate):
    add_command(watch, _command)
add_command(watch, list_, "list")
