"""The `samecar gallery retain` command."""

from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Engine, Json, Name
from samecar.errors import first_few

if TYPE_CHECKING:
    from samecar.retrieval.retention import Retention

NAMED = 20
"""Cameras that are named."""


@examples("samecar gallery retain garage --days 30 --dry-run", "samecar gallery retain garage --days 30")
def retain(
    name: Name,
    days: Annotated[
        float,
        typer.Option(help="keep what was seen in so many days, or added where it is not known when it was seen"),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="also write the gallery's files anew, for what earlier versions removed")
    ] = False,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Removes pictures that are too old, with all that is kept of them, so that nothing of them remains."""
    from samecar.retrieval.gallery import Gallery
    from samecar.retrieval.re_embedding import galleries_beside
    from samecar.retrieval.retention import days_ago

    older = days_ago(days)
    with (
        Gallery.open(name, engine=engine) as opened,
        console.interruptible("what was removed stays so, and the same command removes the rest"),
        console.progress_bars() as progress,
    ):
        found = opened.retain(older, dry_run=dry_run, full=full, progress=progress)
    left = [] if engine is not None else galleries_beside(name)
    for sentence in found.remains:
        console.warn(sentence)
    for folder in left:
        console.warn(
            f"{folder} holds pictures of this gallery too and was left as it is; remove it, or retain in it too"
        )
    if json:
        console.print_json(
            {
                "removed": 0 if dry_run else found.entries,
                "found": found.entries,
                "before": _before(found),
                "cameras": dict(sorted(found.cameras.items())),
                "by_addition": found.undated,
                "remains": list(found.remains),
            }
        )
        return
    console.say(f"{name}: {_describe(found, days, dry_run)}")


def _before(found: "Retention") -> str:
    from samecar.retrieval.times import time_text

    return time_text(found.older)


def _describe(found: "Retention", days: float, dry_run: bool) -> str:
    limit = f"before {_before(found)}, {days:g} days ago"
    if not found.entries:
        return f"nothing is from {limit}"
    done = "would be removed" if dry_run else "removed, with all that was kept of them"
    cameras = first_few([f"{camera or 'unknown'} {count:,}" for camera, count in sorted(found.cameras.items())], NAMED)
    added = f"; {found.undated:,} have no time of their own and were added before it" if found.undated else ""
    return f"{found.entries:,} pictures from {limit}, {done} (by camera: {cameras}{added})"
