"""Makes README's picture from the demo's folder: `samecar demo && python docs/make_pictures.py samecar-demo`."""

import sys
from pathlib import Path

from samecar.data import open_source
from samecar.evaluation import default_protocol
from samecar.evaluation.ranked_lists import ranked_queries
from samecar.evaluation.test_sets import of_test
from samecar.experiment.evaluate import embed_with, score_splits
from samecar.report import draw_ranked_lists
from samecar.training import Run

QUERIES = 4


def main(demo: Path) -> None:
    """Ranks the gallery for a few of the demo's queries and draws the lists."""
    embeddings = embed_with(Run.open(demo / "run"), of_test(open_source(f"veri776:{demo / 'pictures'}")))
    protocol = default_protocol("veri776")
    evaluation = score_splits(embeddings, protocol)
    query, gallery = embeddings.of_split("query"), embeddings.of_split("gallery")
    rows = [len(query) * part // QUERIES for part in range(QUERIES)]  # evenly spread, not chosen by their result
    lists = ranked_queries(query, gallery, evaluation, protocol, rows)
    draw_ranked_lists(lists).save(Path(__file__).parent / "images" / "ranked.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
