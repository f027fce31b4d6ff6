"""The `samecar gallery spread` command."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Engine, Name
from samecar.cli.settings import OptionsOf, Spelling
from samecar.errors import SamecarError, first_few

if TYPE_CHECKING:
    from samecar.retrieval.spread.layout import Layout, Spreading


def _cameras(options: list[str] | None) -> dict[str, int]:
    cameras: dict[str, int] = {}
    for option in options or ():
        name, equals, number = option.rpartition("=")
        if not equals or not (number.isascii() and number.isdigit()):
            raise SamecarError(f"--camera is {option!r}; write NAME=SERVER with the server's number, such as gate=2")
        if cameras.setdefault(name.strip(), int(number)) != int(number):
            raise SamecarError(f"--camera gives {name.strip()!r} two servers; name each camera once")
    return cameras


Servers = Annotated[
    "Spreading",
    OptionsOf(
        "samecar.retrieval.spread.layout:Spreading",
        {
            "over": Spelling(metavar="ADDRESS"),
            "by": Spelling(kind=str, metavar="content|camera"),
            "cameras": Spelling("--camera", list[str], _cameras, metavar="NAME=SERVER"),
            "others": Spelling(metavar="SERVER"),
        },
    ),
]


@examples(
    "samecar gallery spread city --engine postgresql://user@head/vehicles --over postgresql://user@one/vehicles "
    "--over postgresql://user@two/vehicles",
    "samecar gallery spread city --engine postgresql://user@head/vehicles --move",
)
def spread(
    name: Name,
    servers: Servers,
    engine: Engine = None,
    move: Annotated[
        bool, typer.Option("--move", help="then move pictures that lie on another server than the rule says")
    ] = False,
) -> None:
    """Spreads a gallery over servers, or over more of them; --engine is the database that is to know them."""
    from samecar.retrieval.places import check_address
    from samecar.retrieval.spread.engine import SpreadEngine
    from samecar.retrieval.spread.joining import move_strangers, spread_gallery
    from samecar.retrieval.spread.layout import Spreading

    if engine is None:
        raise SamecarError("--engine is not given; name the database that is to know the servers of the gallery")
    for address in (engine, *servers.over):
        check_address(address)
    if servers != Spreading() or not move:
        with console.progress_bars() as progress:
            layout = spread_gallery(name, engine, servers, progress=progress)
        console.say(f"{name}: spread over {len(layout.servers):,} servers by {_rule(layout)}")
        if not layout.settled and not move:
            console.say(
                "Some pictures lie on another server than the rule says; give the same command with --move alone"
            )
    if not move:
        return
    with (
        closing(SpreadEngine.open(engine, name)) as opened,
        console.interruptible("what was moved stays moved, and the same command moves the rest"),
        console.progress_bars() as progress,
    ):
        moved = move_strangers(opened, progress=progress)
    for sentence in moved.left:
        console.warn(sentence)
    console.say(f"{name}: {moved.entries:,} pictures moved")


def _rule(layout: "Layout") -> str:
    if layout.by == "content":
        return "content"
    cameras = first_few([f"{camera}={number}" for camera, number in sorted(layout.cameras.items())], 10)
    others = "refused" if layout.others is None else f"on server {layout.others}"
    return f"camera ({cameras or 'none listed'}; others are {others})"
