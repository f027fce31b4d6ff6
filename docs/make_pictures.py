"""Makes README's picture from the demo's folder, and that of options.md from a drawn vehicle; and README's transcript.

samecar demo && python docs/make_pictures.py samecar-demo
python docs/make_pictures.py --transcript FOLDER    # in which the commands of docs/ten-minutes.md were run
"""

import re
import subprocess
import sys
from pathlib import Path

from samecar.drawn.single import draw_vehicle
from samecar.experiment.evaluate import score_run
from samecar.files import write_file
from samecar.report.figures.augmentations import augmentations_figure
from samecar.report.figures.ranks import ranks_figure
from samecar.report.figures.style import save_figure
from samecar.training import Run

README = Path(__file__).parent.parent / "README.md"

IMAGES = Path(__file__).parent / "images"

SEARCH = "search yard id:1 --not-camera c001 --top 5"
"""What README shows; picture 1 is the first of the gallery, not a picked one."""

TRANSCRIPT = re.compile(r"(<!-- transcript: search -->\n).*?(<!-- end of transcript -->)", re.DOTALL)

QUERIES = 4

DOTS_PER_INCH = 150


def draw_ranks(demo: Path) -> None:
    """Ranks the gallery for a few of the demo's queries and draws the lists."""
    scored = score_run(Run.open(demo / "run"), f"veri776:{demo / 'pictures'}")
    rows = [len(scored.query) * part // QUERIES for part in range(QUERIES)]  # evenly spread, not chosen by their result
    save_figure(ranks_figure(scored.lists(rows)), IMAGES / "ranked.png", dpi=DOTS_PER_INCH)


def draw_augmentations() -> None:
    """Draws one vehicle under each kind of augmentation."""
    save_figure(augmentations_figure(draw_vehicle(size=224), kinds="all"), IMAGES / "augmentations.png", dpi=100)


def write_transcript(place: Path) -> None:
    """Searches the gallery of the page Ten minutes, and puts what that prints into README."""
    command = [sys.executable, "-m", "samecar", *SEARCH.split()]
    printed = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout
    lines = [line.rstrip() for line in printed.replace(f"{place.resolve()}/", "").splitlines()]
    shown = "\n".join([f"$ samecar {SEARCH}", *lines]).replace("\n\n", "\n")
    with write_file(README) as path:
        text = README.read_text(encoding="utf-8")
        path.write_text(TRANSCRIPT.sub(rf"\1```text\n{shown}\n```\n\2", text), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "--transcript":
        write_transcript(Path(sys.argv[2]))
    else:
        draw_augmentations()
        draw_ranks(Path(sys.argv[1]))
