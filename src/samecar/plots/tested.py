"""A run's test pictures: their embeddings, scores and ranked lists, for the figures that show them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samecar.data import Manifest
from samecar.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.evaluation import Evaluation, Protocol, default_protocol
from samecar.evaluation.examples import ranked_queries, typical_queries
from samecar.evaluation.report import RankedPicture, RankedQuery
from samecar.experiment import embed_with, of_test, queries_and_gallery, score_splits
from samecar.hardware import Machine
from samecar.progress import Progress, silent
from samecar.training import Run


@dataclass(frozen=True)
class Tested:
    """What a run's model says of query and gallery pictures."""

    query: Embeddings
    gallery: Embeddings
    evaluation: Evaluation
    protocol: Protocol

    def pictures(self) -> Embeddings:
        """Gallery and queries, but for queries whose file name the gallery has too, as in VeRi-776."""
        names = {Path(path).name for path in self.gallery.manifest.path.tolist()}
        new = [row for row, path in enumerate(self.query.manifest.path.tolist()) if Path(path).name not in names]
        return Embeddings(
            np.concatenate([self.gallery.matrix, self.query.matrix[new]]),
            Manifest.concatenate([self.gallery.manifest, self.query.manifest.select(new)]),
            self.query.model,
        )

    def ranked(self, name: str | None, count: int) -> RankedQuery:
        """A query and its nearest gallery pictures, junk taken out.

        Args:
            name: the end of the query's path; None takes one of middling average precision.
            count: how many pictures.

        Raises:
            SamecarError: no query or several have that name, or it was not scored.
        """
        row = self._row(name) if name else typical_queries(self.evaluation, 3)[1 if len(self.query) > 1 else 0]
        return ranked_queries(self.query, self.gallery, self.evaluation, self.protocol, [row], count=count)[0]

    def _row(self, name: str) -> int:
        paths = self.query.manifest.path.tolist()
        found = [row for row, path in enumerate(paths) if path.endswith(name)]
        if len(found) != 1:
            raise SamecarError(
                f"{len(found)} queries have a path that ends in {name!r}; one is needed, as in {paths[0]}"
            )
        if not self.evaluation.average_precisions[found[0]] >= 0:
            raise SamecarError(f"query {paths[found[0]]} has no match in the gallery; choose another one")
        return found[0]


def score_run(run: Run, data: Manifest, *, on: Machine | None = None, progress: Progress = silent) -> Tested:
    """Embeds and scores the query and gallery pictures of a source with a run's model, under the source's protocol."""
    embeddings = embed_with(run, of_test(data), on=on, progress=progress)
    protocol = default_protocol(data.source)
    evaluation = score_splits(embeddings, protocol)
    query, gallery = queries_and_gallery(embeddings, evaluation)
    return Tested(query, gallery, evaluation, protocol)


def telling_results(ranked: RankedQuery) -> list[tuple[str, Path]]:
    """The nearest right picture of a ranked list and the nearest wrong one, if it has them, with their headings."""
    telling: dict[bool, tuple[str, Path]] = {}
    for rank, result in enumerate(ranked.results, start=1):
        telling.setdefault(result.correct, (_heading(rank, result), result.path))
    return [telling[kind] for kind in (True, False) if kind in telling]


def _heading(rank: int, result: RankedPicture) -> str:
    return f"{'match' if result.correct else 'wrong vehicle'}, rank {rank}"
