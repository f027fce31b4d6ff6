"""The `samecar gallery` commands."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import add_command, examples, group_with
from samecar.cli.gallery_info import advise, index_words, info
from samecar.cli.options import Device, Engine, Name, Stated, folder_if_empty, open_model, refuse_two_values
from samecar.cli.retention import retain
from samecar.cli.settings import OptionsOf, Spelling, name_option
from samecar.cli.watch import Events, announcing
from samecar.errors import SamecarError
from samecar.files import expand_home

if TYPE_CHECKING:
    from samecar.progress import Progress
    from samecar.retrieval.adding import AddReport
    from samecar.retrieval.gallery import Gallery
    from samecar.retrieval.records import Filter, Sighting

gallery = typer.Typer(
    cls=group_with("samecar gallery create garage --run runs/first", "samecar gallery add garage crops --camera gate"),
    help="Keep pictures to search in, bound to one trained model.",
    no_args_is_help=True,
)

Run = Annotated[
    Path,
    typer.Option(
        metavar="RUN",
        help="run folder of `samecar train`, or a fused, reduced or exported model, that the gallery is bound to",
    ),
]


def time_of(option: str, text: str | None) -> float | None:
    """The time that an option gives, if it gives one.

    Raises:
        SamecarError: it cannot be understood.
    """
    return None if text is None else name_option(option, _time, text)


def _time(text: str) -> float:
    from samecar.retrieval.times import parse_time

    return parse_time(text)


def _labels(options: list[str] | None) -> dict[str, str]:
    refuse_two_values(options or ())
    labels = {}
    for option in options or ():
        name, equals, value = option.partition("=")
        if not name.strip() or not equals:
            raise SamecarError(f"--label is {option!r}; write NAME=VALUE, such as lane=2")
        labels[name.strip()] = value.strip()
    return labels


def _label_choices(options: list[str] | None) -> dict[str, str | tuple[str, ...]]:
    """Labels that a filter asks for; one that is given several times may have any of the values."""
    choices: dict[str, tuple[str, ...]] = {}
    for option in options or ():
        for name, value in _labels([option]).items():
            choices[name] = (*choices.get(name, ()), value)
    return {name: values[0] if len(values) == 1 else values for name, values in choices.items()}


TIME = Spelling(kind=str, read=_time, metavar="TIME")
Allowed = Annotated[
    "Filter",
    OptionsOf(
        "samecar.retrieval.records:Filter",
        {
            "cameras": "--camera",
            "not_cameras": "--not-camera",
            "after": TIME,
            "before": TIME,
            "labels": Spelling("--label", list[str], _label_choices, metavar="NAME=VALUE"),
            "types": "--type",
            "colours": "--colour",
        },
        without=("not_ids", "older"),
    ),
]
Pictures = Annotated[
    dict[str, Any],
    OptionsOf(
        "samecar.retrieval.gallery:Gallery.create",
        {"thumbnail": Spelling(low=0), "preview": Spelling(low=0)},
        only=("thumbnail", "preview"),
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        show_default=False, help="a group of the system whose members may use the folder too, such as a service's"
    ),
]
Threads = Annotated[
    dict[str, Any], OptionsOf("samecar.retrieval.gallery:Gallery.add", {"workers": Spelling(low=1)}, only=("workers",))
]


@examples(
    "samecar gallery create garage --run runs/first",
    "samecar gallery create large --run runs/first --preview 640",
)
def create(
    name: Name,
    run: Run,
    pictures: Pictures,
    engine: Engine = None,
    preprocessing: Stated = None,
    group: Group = None,
) -> None:
    """Makes an empty gallery, bound to a run's model."""
    from samecar.experiment.embed import bound_model
    from samecar.files import read_whole
    from samecar.retrieval.gallery import CALIBRATION_FILE, Gallery

    opened = open_model(run, preprocessing)
    model = bound_model(opened)
    path = opened.folder / CALIBRATION_FILE
    calibration = read_whole(path) if path.is_file() else None
    with Gallery.create(name, model, calibration=calibration, engine=engine, group=group, **pictures) as made:
        facts = made.facts
    known = "not calibrated" if calibration is None else "calibrated"
    console.say(f"{name}: an empty gallery for model {facts.model}, {facts.index.kind} search, {known}")


@examples("samecar gallery calibrate garage --run runs/first")
def calibrate(name: Name, run: Run, engine: Engine = None) -> None:
    """Gives a gallery the calibration that `samecar calibrate` made of its model."""
    from samecar.experiment.composite import as_model
    from samecar.files import read_whole
    from samecar.retrieval.gallery import CALIBRATION_FILE, Gallery

    path = as_model(run).folder / CALIBRATION_FILE
    if not path.is_file():
        raise SamecarError(f"{path} is not there; make it with `samecar calibrate {run} --data SOURCE`")
    with Gallery.open(name, engine=engine) as opened:
        opened.attach_calibration(read_whole(path))
    console.say(f"{name}: calibrated by {path}")


@examples(
    "samecar gallery add garage crops --camera gate",
    'samecar gallery add garage "folder:crops/{vehicle_id}_{camera_id}.png" --time 2024-05-01',
)
def add(
    name: Name,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="a folder, a picture, NAME:PATH, a .csv or .parquet manifest, .npz, or - for stdin",
        ),
    ],
    device: Device,
    threads: Threads,
    events: Events,
    camera: Annotated[str, typer.Option(help="of pictures whose camera SOURCE does not tell")] = "",
    time: Annotated[str | None, typer.Option(help="of pictures whose time SOURCE does not tell")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="label of every picture; may be given several times")
    ] = None,
    engine: Engine = None,
) -> None:
    """Adds pictures; those that are known already, by content, are skipped."""
    from samecar.retrieval.filter_names import camera_warnings
    from samecar.retrieval.gallery import Gallery
    from samecar.retrieval.records import Sighting

    if Path(source).suffix == ".npy":
        raise SamecarError(f"{source} does not say which model made its embeddings; give them as .npz")
    defaults = Sighting("", camera_id=camera.strip(), time=time_of("--time", time), labels=_labels(label))
    with (
        Gallery.open(name, engine=engine, **device) as opened,
        announcing(opened, events),
    ):
        with (
            console.interruptible("what was added is kept, and the same command adds the rest"),
            console.progress_bars() as progress,
        ):
            report = _add_all(opened, source, defaults, threads, progress)
        settings = opened.facts.index
        for warning in camera_warnings(opened.engine) if report.added else ():
            console.warn(warning)
        for sentence in report.unreadable:
            console.warn(f"left out: {sentence}")
        new, known, unreadable = report.added, report.known, len(report.unreadable)
        console.say(f"{name}: {new:,} pictures added, {known:,} known already, {unreadable:,} unreadable")
        advise(name, engine, settings, 0 if settings.kind == "exact" else opened.engine.summary().pictures)


def _add_all(
    opened: "Gallery", source: str, defaults: "Sighting", threads: dict[str, Any], progress: "Progress"
) -> "AddReport":
    """Adds what a source has: pictures, or embeddings that were made before."""
    from samecar.retrieval.incoming import incoming_from

    if Path(source).suffix == ".npz":
        from samecar.data.placeholders import describe_placeholders
        from samecar.embedding.embeddings import Embeddings

        embeddings = Embeddings.load(expand_home(source))
        if placeholders := describe_placeholders(embeddings.manifest):
            console.warn(placeholders)
        return opened.add_embedded(embeddings, defaults=defaults, progress=progress, **threads)
    coming = incoming_from(source, standard_input(), defaults)
    for warning in coming.warnings:
        console.warn(warning)
    return opened.add(coming.pictures, total=coming.total, progress=progress, **threads)


@examples("samecar gallery remove garage --id 3", "samecar gallery remove garage --camera gate --yes")
def remove(
    name: Name,
    allowed: Allowed,
    number: Annotated[
        list[int] | None, typer.Option("--id", help="number of a picture; may be given several times")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove all that the options fit")] = False,
    engine: Engine = None,
) -> None:
    """Removes pictures by their numbers, or with --yes all that the other options fit."""
    from samecar.retrieval.engine import all_entries
    from samecar.retrieval.filter_names import filter_warnings
    from samecar.retrieval.gallery import Gallery
    from samecar.retrieval.records import EVERYTHING

    if bool(number) == (allowed != EVERYTHING):
        raise SamecarError(
            "give either --id, or one of --camera, --not-camera, --after, --before, --label, --type and --colour"
        )
    with Gallery.open(name, engine=engine) as opened:
        for warning in filter_warnings(opened.engine, allowed):
            console.warn(warning)
        if number:
            there = opened.engine.entries(number)
            for missing in dict.fromkeys(number):
                if missing not in there:
                    console.warn(f"{name} has no picture {missing}")
            removed = opened.engine.remove(number)
        elif yes:
            with console.progress_bars() as progress:
                removed = opened.remove(allowed, progress=progress)
        else:
            count = sum(1 for _ in all_entries(opened.engine, allowed))
            raise SamecarError(f"{count:,} pictures of {name} would be removed; say --yes to remove them")
    console.say(f"{name}: {removed:,} pictures removed")


@examples("samecar gallery check garage")
def check(name: Name, engine: Engine = None) -> None:
    """Says what is wrong with a gallery; the exit status is 1 when something is."""
    from samecar.retrieval.gallery import Gallery

    with Gallery.open(name, engine=engine) as opened, console.progress_bars() as progress:
        findings = opened.check(progress)
    for finding in findings:
        console.fail(finding)
    if findings:
        raise typer.Exit(1)
    console.say(f"{name}: nothing is wrong")


@examples("samecar gallery export garage -o garage.csv", "samecar gallery export garage -o judged.csv --judgements")
def export(
    name: Name,
    out: Annotated[Path, typer.Option("-o", "--out", help="manifest, .csv or .parquet, or embeddings, .npz or .npy")],
    judgements: Annotated[
        bool, typer.Option("--judgements", help="only what was judged, with the vehicles that follow from it")
    ] = False,
    engine: Engine = None,
) -> None:
    """Writes what a gallery holds as a manifest or as embeddings, or its judgements as labels."""
    from samecar.embedding.embeddings import SUFFIXES
    from samecar.retrieval.export import export_embeddings, export_judgements, export_manifest
    from samecar.retrieval.gallery import Gallery

    embeddings = () if judgements else SUFFIXES
    suffixes = (".csv", ".parquet", *embeddings)
    if out.suffix not in suffixes:
        raise SamecarError(f"--out is {out}; its name must end in {' or '.join(suffixes)}")
    write = export_judgements if judgements else export_embeddings if out.suffix in embeddings else export_manifest
    with Gallery.open(name, engine=engine) as opened:
        exported = write(opened.engine, out)
    for warning in exported.warnings:
        console.warn(warning)
    use = "samecar score reads it" if out.suffix in embeddings else f"Use it as csv:{out}"
    console.say(f"{out}: {exported.pictures:,} pictures. {use}")


@examples("samecar gallery copy garage backup", "samecar gallery copy garage backup --resume")
def copy(
    name: Name,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="gallery to make; with --to-engine its name there")],
    engine: Engine = None,
    to_engine: Annotated[
        str | None,
        typer.Option(show_default=False, callback=folder_if_empty, help="a server for the copy; without it a folder"),
    ] = None,
    index: Annotated[
        str, typer.Option(help="how the copy is searched; another index than exact is made and measured in the end")
    ] = "exact",
    resume: Annotated[bool, typer.Option("--resume", help="go on with a copy that was begun")] = False,
    group: Group = None,
) -> None:
    """Copies a gallery, also to another engine, without embedding anything again; pictures get new numbers."""
    from samecar.retrieval.export import contrary_warnings, copy_gallery
    from samecar.retrieval.places import check_index, create_engine, open_engine
    from samecar.retrieval.records import IndexSettings

    with closing(open_engine(name, engine)) as source:
        check_index(index, to_engine, source.facts.size)
        facts = source.facts.model_copy(update={"index": IndexSettings()})
        opened = open_engine(target, to_engine) if resume else create_engine(target, to_engine, facts, group=group)
        with (
            closing(opened) as copied,
            console.interruptible("what was copied is kept, and --resume copies the rest"),
            console.progress_bars() as progress,
        ):
            new = copy_gallery(source, copied, progress=progress)
            warnings = list(contrary_warnings(source, copied))
            settings = None if index == "exact" else copied.rebuild(index, progress)
    for warning in warnings:
        console.warn(warning)
    console.say(f"{target}: {new:,} pictures copied")
    if settings is not None:
        console.say(f"{target}: {index_words(settings)}")


@examples("samecar gallery index garage exact")
def index_again(
    name: Name,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="exact, or another one that the engine knows")],
    engine: Engine = None,
) -> None:
    """Makes the index anew, of the same kind or another one, and measures what it finds."""
    from samecar.retrieval.gallery import Gallery

    with Gallery.open(name, engine=engine) as opened, console.progress_bars() as progress:
        settings = opened.engine.rebuild(kind, progress)
    console.say(f"{name}: {index_words(settings)}")


def standard_input() -> Iterator[str]:
    """Lines of standard input.

    Raises:
        SamecarError: it is no text in UTF-8.
    """
    try:
        for line in sys.stdin:
            if "\0" in line:
                raise SamecarError("standard input is no text, as a picture is not; give the picture's path")
            yield line
    except UnicodeDecodeError as error:
        raise SamecarError(f"standard input is not UTF-8: {error}; give paths or a table in UTF-8") from error


for _command in (create, calibrate, add, remove, retain):
    add_command(gallery, _command)
add_command(gallery, info, "info")
for _command in (check, export, copy):
    add_command(gallery, _command)
add_command(gallery, index_again, "index")
