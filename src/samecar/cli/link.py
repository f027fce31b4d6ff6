"""The `samecar link` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Engine, Json, Name
from samecar.cli.settings import OptionsOf, Spelling
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.evaluation.clusters import ClusterScores
    from samecar.linking import Linking, LinkSettings
    from samecar.retrieval.gallery import Gallery

Settings = Annotated[
    "LinkSettings",
    OptionsOf(
        "samecar.linking.settings:LinkSettings",
        {
            "window": Spelling(metavar="SECONDS"),
            "travel_times": Spelling(metavar="TABLE"),
            "learn": "--learn/--no-learn",
            "untimed": "--untimed/--no-untimed",
        },
    ),
]


def drawable(picture: Path | None) -> Path | None:
    """What `--picture` means; what cannot be drawn is refused before anything is linked."""
    if picture is not None:
        from samecar.report.figures.style import figure_files

        figure_files(picture)
    return picture


@examples(
    "samecar link garage --out journeys",
    "samecar link garage --travel-times road.csv --picture journeys.svg",
    "samecar link garage --score",
)
def link(
    name: Name,
    settings: Settings,
    engine: Engine = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="folder to write tables into, as .csv")] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            callback=drawable,
            help="file to draw cameras and journeys into: .svg, .png or .pdf; without one of these, .png and .svg",
        ),
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="search with all pictures, not with new ones only")] = False,
    score: Annotated[
        bool,
        typer.Option(
            "--score", help="link as though no vehicle were known, say how well known ones are found, label nothing"
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Links the sightings of all cameras to journeys, and gives each entry the label `journey`.

    Needs a calibrated gallery. The same command again searches with new pictures only.
    """
    from samecar.files import make_folder
    from samecar.linking import link as link_gallery
    from samecar.linking.tables import write_tables
    from samecar.retrieval.gallery import Gallery

    if out is not None:
        make_folder(out)  # before labels change
    with (
        Gallery.open(name, engine=engine) as opened,
        console.interruptible("the same command goes on"),
        console.progress_bars() as progress,
    ):
        vehicles = _known_vehicles(opened) if score else {}
        linking = link_gallery(opened, settings, anew=anew, known=not score, label=not score, progress=progress)
    scores = _score(linking, vehicles) if score else None
    written = [] if out is None else write_tables(linking, out)
    if picture is not None:
        from samecar.report.figures.journeys import journeys_figure
        from samecar.report.figures.style import save_figure

        written += save_figure(journeys_figure(linking.journeys, title=f"Journeys: {Path(name).name}"), picture)
    for note in linking.notes:
        console.warn(note)
    if json:
        console.print_json(_as_json(linking, scores, written))
        return
    _print(name, linking, scores, written)


def _known_vehicles(gallery: "Gallery") -> dict[int, str]:
    """Names of vehicles by the entries that show them.

    Raises:
        SamecarError: no vehicle is known.
    """
    from samecar.retrieval.engine import all_entries

    known = {entry.id: entry.sighting.vehicle_id for entry in all_entries(gallery.engine) if entry.sighting.vehicle_id}
    if not known:
        raise SamecarError(
            "--score is given, and no vehicle of the gallery is known by name; add pictures that name it"
        )
    return known


def _score(linking: "Linking", vehicles: dict[int, str]) -> "ClusterScores":
    """How well known vehicles are found."""
    from samecar.evaluation.clusters import score_clusters

    labels = linking.labels()
    linked = [number for number in vehicles if number in labels]
    return score_clusters([vehicles[number] for number in linked], [labels[number] for number in linked])


def _as_json(linking: "Linking", scores: "ClusterScores | None", written: list[Path]) -> dict[str, Any]:
    several = [journey for journey in linking.journeys if len(journey.steps) > 1]
    return {
        "pictures": linking.pictures,
        "sightings": linking.sightings,
        "searched": linking.searched,
        "journeys": len(linking.journeys),
        "journeys_of_several": len(several),
        "relabelled": linking.relabelled,
        "rivals": linking.rivals,
        "travel_times_learned": linking.learned and bool(linking.travel.limits),
        "notes": list(linking.notes),
        "written": [str(path) for path in written],
        **({} if scores is None else {"scores": {name: each._asdict() for name, each in scores._asdict().items()}}),
    }


def _print(name: str, linking: "Linking", scores: "ClusterScores | None", written: list[Path]) -> None:
    several = sum(len(journey.steps) > 1 for journey in linking.journeys)
    console.say(
        f"{name}: {linking.sightings:,} sightings ({linking.pictures:,} pictures, {linking.searched:,} searched with) "
        f"make {len(linking.journeys):,} journeys, {several:,} of two sightings or more"
    )
    limits = len(linking.travel.limits)
    if limits:
        console.say(f"Travel times {'learned' if linking.learned else 'given'}: from camera to camera {limits:,}")
    console.say(f"Vehicles that a sighting could be of, by place and time alone: {linking.rivals:,.0f} in the mean")
    if scores is None:
        console.say(f"Labels changed: {linking.relabelled:,}")
    else:
        names = {"pairwise": "pairs", "b_cubed": "B-cubed", "identity": "identities (IDF1)"}
        for metric, agreement in scores._asdict().items():
            precision, recall, f1 = (f"{100 * value:.1f}" for value in agreement)
            console.say(f"{names[metric]}: F1 {f1}, precision {precision}, recall {recall}")
    for path in written:
        console.say(f"Written: {path}")
