"""Makes README's picture from the demo's folder: `samecar demo && python docs/make_pictures.py samecar-demo`."""

import sys
from pathlib import Path

from samecar.experiment.evaluate import score_run
from samecar.report.figures.ranks import ranks_figure
from samecar.report.figures.style import save_figure
from samecar.training import Run

QUERIES = 4

DOTS_PER_INCH = 150


def main(demo: Path) -> None:
    """Ranks the gallery for a few of the demo's queries and draws the lists."""
    scored = score_run(Run.open(demo / "run"), f"veri776:{demo / 'pictures'}")
    rows = [len(scored.query) * part // QUERIES for part in range(QUERIES)]  # evenly spread, not chosen by their result
    save_figure(ranks_figure(scored.lists(rows)), Path(__file__).parent / "images" / "ranked.png", dpi=DOTS_PER_INCH)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
