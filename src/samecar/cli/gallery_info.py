"""What the `samecar gallery` commands say of a gallery."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Engine, Json, Name, Partial, gallery_words, offer_partial

if TYPE_CHECKING:
    from samecar.retrieval.engine import ServerSummary
    from samecar.retrieval.records import GalleryFacts, IndexSettings, Summary


@dataclass(frozen=True)
class Information:
    """What is said of a gallery."""

    facts: "GalleryFacts"
    summary: "Summary"
    servers: "list[ServerSummary]"
    missing: list[str]
    runtime: str
    calibrated: bool


@examples("samecar gallery info garage", "samecar gallery info garage --json")
def info(name: Name, partial: Partial, engine: Engine = None, json: Json = False) -> None:
    """Says what a gallery holds."""
    from samecar.retrieval.gallery import Gallery

    with offer_partial(name), Gallery.open(name, engine=engine, **partial) as opened:
        told = Information(
            opened.facts,
            opened.engine.summary(),
            opened.engine.servers(),
            opened.missing,
            opened.runtime,
            opened.calibration is not None,
        )
    for sentence in told.missing:
        console.warn(sentence)
    if json:
        console.print_json(_as_json(told))
    else:
        _print_info(name, engine, told)


def _as_json(told: Information) -> dict[str, Any]:
    servers = [
        {"number": server.number, "address": server.address, "pictures": server.pictures, "index": server.index.kind}
        for server in told.servers
    ]
    return {
        **told.facts.model_dump(mode="json", exclude={"description"}),
        "calibrated": told.calibrated,
        **({"runtime": told.runtime} if told.runtime else {}),
        "pictures": told.summary.pictures,
        "vehicles": told.summary.vehicles,
        "judgements": told.summary.judgements,
        "cameras": _describe_cameras(told.summary),
        **({"servers": servers} if servers else {}),
        **({"missing": told.missing} if told.missing else {}),
    }


def _describe_cameras(summary: "Summary") -> list[dict[str, Any]]:
    from samecar.retrieval.times import known_time_text

    return [
        {
            "camera_id": camera.camera_id,
            "pictures": camera.pictures,
            "first": known_time_text(camera.first),
            "last": known_time_text(camera.last),
        }
        for camera in summary.cameras
    ]


def _print_info(name: str, engine: str | None, told: Information) -> None:
    from rich.table import Table

    facts, summary = told.facts, told.summary
    console.say(
        f"{name}: {summary.pictures:,} pictures, {summary.vehicles:,} known vehicles, {summary.judgements:,} judgements"
    )
    console.say(f"model {facts.model}, {facts.size} numbers, {'calibrated' if told.calibrated else 'not calibrated'}")
    if told.runtime:
        console.say(f"embedded by {told.runtime}")
    console.say(index_words(facts.index))
    for server in told.servers:
        words = f"{server.pictures:,} pictures, {index_words(server.index)}"
        console.say(f"server {server.number}, {server.address}: {words}")
    advise(name, engine, facts.index, summary.pictures)
    table = Table()
    table.add_column("camera", overflow="fold")
    table.add_column("pictures", justify="right")
    table.add_column("first", no_wrap=True)
    table.add_column("last", no_wrap=True)
    for camera in _describe_cameras(summary):
        values = (console.cell(camera["camera_id"]) or "unknown", f"{camera['pictures']:,}")
        table.add_row(*values, camera["first"] or "", camera["last"] or "")
    if summary.cameras:
        console.out.print(table)


def index_words(settings: "IndexSettings") -> str:
    """How a gallery is searched."""
    if settings.kind == "exact":
        return "exact search"
    if settings.recall is None:
        return f"{settings.kind} search; how many of the nearest it finds was not measured"
    found = f"{100 * settings.recall:.2f} % of the ten nearest"
    return f"{settings.kind} search, which finds {found} (measured on {settings.measured_on:,} pictures)"


def advise(name: str, engine: str | None, settings: "IndexSettings", pictures: int) -> None:
    """Warns of an index that should be made anew in a gallery of so many pictures."""
    fault = settings.fault(pictures)
    if fault is not None:
        command = f"samecar gallery index {gallery_words(name, engine)} {settings.kind}"
        console.warn(f"make the index {settings.kind} anew: {fault}; run `{command}`")
