"""What a reproduction is asked to be."""

from dataclasses import dataclass, field
from functools import cache

from samecar.config import ModelSettings, Recipe
from samecar.errors import SamecarError
from samecar.reproduce.rows import derive
from samecar.reproduce.scaling import Scale


@dataclass(frozen=True)
class Choices:
    """What a reproduction is asked to be.

    Attributes:
        seeds: runs of each row, with seeds 1, 2, and so on.
        as_run: settings of the published runs where they differ from the printed ones.
        scale: smaller sizes for a dry run.
        changes: further changes to every row, as `--set` takes them.
        quick_in_bfloat16: kind of device that computes in bfloat16: rows are trained in it there, but for those that
            it slows down; "" trains each as it says.

    Raises:
        SamecarError: there is no seed, or one twice, or the changes name one.
    """

    seeds: tuple[int, ...] = (1,)
    as_run: bool = False
    scale: Scale = field(default_factory=Scale)
    changes: tuple[str, ...] = ()
    quick_in_bfloat16: str = ""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SamecarError(f"seeds are {list(self.seeds)}; give one or more, each once")
        if any(change.startswith("training.seed") for change in self.changes):
            raise SamecarError("--set training.seed has no say here: --seeds N runs each row with the seeds 1 to N")

    def recipe(self, row: str) -> Recipe:
        """What a row is trained with, but for title and seed.

        Raises:
            SamecarError: the changes do not go together with the row.
        """
        return _recipe(self, row)


@cache
def _recipe(choices: Choices, row: str) -> Recipe:
    try:
        recipe = derive(row, as_run=choices.as_run).load(choices.changes)
        if choices.quick_in_bfloat16 and not _is_slower_in_bfloat16(recipe.model, choices.quick_in_bfloat16):
            training = recipe.training.model_copy(update={"precision": "bfloat16"})
            recipe = recipe.model_copy(update={"training": training})
        return choices.scale.recipe(recipe)
    except SamecarError as error:
        raise SamecarError(f"{row}: {error}") from error


def _is_slower_in_bfloat16(model: ModelSettings, device: str) -> bool:
    """Whether torch trains a network slower so: on a processor, the gradients of convolutions by channel."""
    from samecar.reproduce.costs import convolves_by_channel  # loads torch

    return device == "cpu" and convolves_by_channel(model)
