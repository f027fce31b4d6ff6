"""Makes README's picture from the demo's folder, and that of options.md from a drawn vehicle.

samecar demo && python docs/make_pictures.py samecar-demo
"""

import sys
from pathlib import Path

from samecar.drawn.single import draw_vehicle
from samecar.experiment.evaluate import score_run
from samecar.report.figures.augmentations import augmentations_figure
from samecar.report.figures.ranks import ranks_figure
from samecar.report.figures.style import save_figure
from samecar.training import Run

IMAGES = Path(__file__).parent / "images"

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


if __name__ == "__main__":
    draw_augmentations()
    draw_ranks(Path(sys.argv[1]))
