"""The `samecar publish` command."""

from pathlib import Path
from typing import Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.settings import OptionsOf


@examples("samecar publish runs/first -o garage-model --licence apache-2.0")
def publish(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="run folder, or a fused, reduced or exported model; one that needs no torch is best"
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder to make")],
    options: Annotated[
        dict[str, Any], OptionsOf("samecar.experiment.publish:save_pretrained", only=("licence", "name"))
    ],
) -> None:
    """Writes a folder for the Hugging Face hub: a model, and a card of its use, data, licence, privacy and scores."""
    from samecar.experiment.publish import CARD_FILE, save_pretrained

    folder = save_pretrained(run, out, **options)
    console.say(f"{folder}: a model for the hub; nothing was uploaded")
    console.say(
        f"Read {folder / CARD_FILE} and add what it cannot know, then: hf upload ORGANISATION/{folder.name} {folder}"
    )
