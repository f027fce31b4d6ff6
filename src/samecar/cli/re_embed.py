"""The `samecar gallery re-embed` command."""

from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.gallery import Run, Threads
from samecar.cli.options import Device, Engine, Name, Stated, open_model
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.retrieval.re_embedding import ReEmbedding


@examples(
    "samecar gallery re-embed garage --run runs/second", "samecar gallery re-embed garage --run runs/second --switch"
)
def re_embed(
    name: Name,
    run: Run,
    device: Device,
    threads: Threads,
    preprocessing: Stated = None,
    engine: Engine = None,
    switch: Annotated[
        bool, typer.Option("--switch", help="then give the gallery these embeddings, in one step")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="switch even if that leaves out entries whose pictures are gone")
    ] = False,
) -> None:
    """Embeds a gallery with another model, from pictures that are still there, beside the old one."""
    from samecar.embedding.encoder import Encoder
    from samecar.files import read_whole
    from samecar.retrieval.gallery import CALIBRATION_FILE
    from samecar.retrieval.re_embedding import re_embed as embed_again
    from samecar.retrieval.re_embedding import switch_over

    opened = open_model(run, preprocessing)
    model = Encoder.open(opened, **device)
    with (
        console.interruptible("what was embedded is kept, and the same command embeds the rest"),
        console.progress_bars() as progress,
    ):
        done = embed_again(name, model, engine=engine, progress=progress, **threads)
    for sentence in done.missing:
        console.warn(f"missing: {sentence}")
    console.say(
        f"{name}: {done.embedded:,} of {done.pictures:,} pictures have embeddings of model {model.digest}, "
        f"{len(done.missing):,} are missing"
    )
    if not switch:
        console.say(f"Nothing is changed yet. End what uses {name}, then give the same command with --switch")
        return
    _refuse_missing(done, allow_missing)
    path = opened.folder / CALIBRATION_FILE
    calibration = read_whole(path) if path.is_file() else None
    with console.progress_bars() as progress:
        before = switch_over(name, model, done, engine=engine, calibration=calibration, progress=progress)
    known = "not calibrated" if calibration is None else "calibrated"
    console.say(f"{name}: of model {model.digest} now, {known}; what it was before lies in {before}")


def _refuse_missing(done: "ReEmbedding", allowed: bool) -> None:
    if done.missing and not allowed:
        raise SamecarError(
            f"{len(done.missing):,} entries would be left out; bring their pictures back, or say --allow-missing"
        )
