"""What may be chosen for scoring besides protocol and distance."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from samecar.errors import SamecarError
from samecar.evaluation.metrics import Interpolation
from samecar.similarity.counting import Work

if TYPE_CHECKING:
    from samecar.similarity.expansion import AverageQueryExpansion, DatabaseAugmentation, PostProcessing
    from samecar.similarity.reranking import KReciprocal

CMC_RANKS = (1, 5, 10, 20)


@dataclass(frozen=True)
class Options:
    """What may be chosen besides protocol and distance; all that changes a number is on the card.

    Attributes:
        ranks: ranks at which CMC is told; 1 always is one of them.
        interpolation: of average precision: none, trapezoid or maximum.
        database_augmentation: average each gallery picture with its nearest; done first, looks at the whole test set.
        query_expansion: average each query with its nearest; done second, looks at the whole test set.
        rerank: k-reciprocal re-ranking, such as 20,6,0.3; done last, looks at the whole test set.
        work: how ranks are counted; changes no number by more than rounding.

    Raises:
        SamecarError: a rank is not a whole number from 1, or there is none.
    """

    ranks: tuple[int, ...] = CMC_RANKS
    interpolation: Interpolation = "none"
    database_augmentation: "DatabaseAugmentation | None" = None
    query_expansion: "AverageQueryExpansion | None" = None
    rerank: "KReciprocal | None" = None
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        if not self.ranks or min(self.ranks) < 1:
            raise SamecarError(
                f"ranks is {','.join(map(str, self.ranks)) or 'empty'}; give ranks from 1, such as 1,5,10"
            )
        object.__setattr__(self, "ranks", tuple(sorted({1, *self.ranks})))

    @property
    def post_processing(self) -> "list[PostProcessing]":
        """What is done to embeddings and distances, in this order."""
        steps = (self.database_augmentation, self.query_expansion, self.rerank)
        return [step for step in steps if step is not None]
