"""The command `samecar import-weights`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Json
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.models.weights.importing import ImportedWeights

SHOWN = 20
"""Rows of a table of tensors."""


def _read_grid(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    numbers = text.lower().split("x")
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() and int(number) for number in numbers):
        raise SamecarError(f"--grid is {text!r}; give rows and columns, such as 16x8")
    return int(numbers[0]), int(numbers[1])


@examples(
    "samecar import-weights veri_r50_ibn.pth -o r50_ibn.safetensors",
    "samecar import-weights vit_clipreid.pth --backbone vit_base_patch16_clip_quickgelu_224 -o clip.safetensors",
)
def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="weights of another program")],
    out: Annotated[Path, typer.Option("-o", "--out", help="file to write: .safetensors")],
    backbone: Annotated[
        str | None, typer.Option(help="timm model that they are of; without it found by names and shapes")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="ROWSxCOLUMNS",
            help="of a vision transformer's positions in FILE, such as 16x8, where these are no square",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Makes a file for model.weights of weights that another program trained, and says what fitted.

    Reads the names of timm, torchvision, torchreid, fast-reid, TransReID and the strong baseline's family, CLIP,
    CLIP-ReID and the report's author. The layouts were made from the definitions and are untested on published files.
    """
    from samecar.models.weights.importing import describe
    from samecar.models.weights.importing import import_weights as import_file

    imported = import_file(file, out, backbone=backbone, grid=_read_grid(grid))
    if json:
        console.print_json(describe(imported))
    else:
        _print(imported)


def _print(imported: "ImportedWeights") -> None:
    from rich.table import Table

    from samecar.models.weights.importing import describe

    counts = describe(imported)["counts"]
    table = Table("tensors", "", "such as", title=f"layout: {imported.layout}", title_justify="left")
    for state, count in counts.items():
        names = [match.key or match.source for match in imported.tensors if match.state == state]
        table.add_row(state, f"{count:,}", console.cell(", ".join(str(name) for name in names[:3])))
    console.out.print(table)
    for match in [match for match in imported.tensors if match.state in ("resized", "missing")][:SHOWN]:
        console.say(f"  {match.state}: {match.key} {match.shape}")
    console.say(
        f"Wrote {imported.path}: {100 * imported.share:.1f} % of {imported.backbone}'s parameters; licence not stated. "
        f"Train from it with {' '.join(f'--set {option}={value}' for option, value in imported.options.items())}"
    )
    if counts["missing"]:
        console.warn(f"{counts['missing']} tensors are missing in the file and begin anew")
    if counts["left over"]:
        console.say(
            "What is left over is not in the network: heads and classifiers are no loss, layers inside of it are."
        )
