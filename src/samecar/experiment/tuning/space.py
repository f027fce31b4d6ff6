"""Which options of a recipe are tried, and over which values."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samecar.config import Recipe, change_recipe
from samecar.errors import SamecarError
from samecar.options import flatten

if TYPE_CHECKING:
    from optuna import Trial

FORM = "option=LOW..HIGH, option=LOW..HIGH:log, option=LOW..HIGH:STEP or option=A,B,C"
"""How a range is written."""

NOT_TUNED = ("title", "description", "training.seed", "training.validation", "training.validate_every")
"""They do not change how good a recipe is, but on what and how often that is measured."""

RANGE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?::(?P<how>.+))?")


@dataclass(frozen=True)
class Numbers:
    """An option that is tried between two numbers.

    Attributes:
        option: its dotted path.
        low: smallest value.
        high: largest value.
        step: between two values; None for any number, or for whole numbers 1.
        log: values are drawn evenly over their logarithm.
        whole: only whole numbers are tried.
    """

    option: str
    low: float
    high: float
    step: float | None
    log: bool
    whole: bool

    def ends(self) -> list[str]:
        """Changes of a recipe to the smallest and to the largest value."""
        return [f"{self.option}={value!r}" for value in (self.low, self.high)]

    def suggest(self, trial: "Trial") -> str:
        """The change that a trial makes."""
        if self.whole:
            step = int(self.step or 1)
            value: float = trial.suggest_int(self.option, int(self.low), int(self.high), step=step, log=self.log)
        else:
            value = trial.suggest_float(self.option, self.low, self.high, step=self.step, log=self.log)
        return f"{self.option}={value!r}"

    def own(self, recipe: Recipe) -> Any:
        """What a recipe has, as a trial has it; None if no trial can."""
        value = value_of(recipe, self.option)
        if value is None or not self.low <= value <= self.high:
            return None
        steps = (value - self.low) / self.step if self.step else 0.0
        return value if abs(steps - round(steps)) < 1e-9 else None


@dataclass(frozen=True)
class Choices:
    """An option that is tried with some values.

    Attributes:
        option: its dotted path.
        texts: the values, as they were written.
    """

    option: str
    texts: tuple[str, ...]

    def ends(self) -> list[str]:
        """Changes of a recipe to each of the values."""
        return [f"{self.option}={text}" for text in self.texts]

    def suggest(self, trial: "Trial") -> str:
        """The change that a trial makes."""
        return f"{self.option}={trial.suggest_categorical(self.option, self.texts)}"

    def own(self, recipe: Recipe) -> Any:
        """What a recipe has, as a trial has it; None if no trial can."""
        value = value_of(recipe, self.option)
        for text, change in zip(self.texts, self.ends(), strict=True):
            changed = _changed(recipe, [change])
            if changed is not None and value_of(changed, self.option) == value:
                return text
        return None


Searched = Numbers | Choices
"""An option, and what is tried."""


def value_of(recipe: Recipe, option: str) -> Any:
    """The value of an option by its dotted path, as JSON has it."""
    return flatten(recipe.model_dump(mode="json"))[option]


def read_space(texts: Iterable[str], recipe: Recipe) -> tuple[Searched, ...]:
    """Reads what is to be tried.

    Args:
        texts: such as `optimizer.learning_rate=1e-5..1e-3:log` or `model.pooling=average,gem`.
        recipe: that is changed.

    Raises:
        SamecarError: a text has another form, an option is unknown or decides how trials are scored, or a value is not
            allowed, alone and together with each of the other options' values.
    """
    space = tuple(_read(text, recipe) for text in texts)
    if not space:
        raise SamecarError(f"nothing is to be tried; give --over at least once, as {FORM}")
    options = [searched.option for searched in space]
    for option in options:
        if options.count(option) > 1:
            raise SamecarError(f"--over names {option} {options.count(option)} times; give all of its values at once")
    for searched in space:
        for change in searched.ends():
            _check_allowed(change, [other for other in space if other is not searched], recipe)
    return space


def _read(text: str, recipe: Recipe) -> Searched:
    option, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not option or not values:
        raise SamecarError(f"--over {text!r} is not of the form {FORM}")
    if option in NOT_TUNED:
        raise SamecarError(
            f"--over {text!r}: {option} decides how trials are scored, not how good they are; set it for all of them "
            "with --set"
        )
    if option not in flatten(recipe.model_dump(mode="json")):
        change_recipe(recipe, [f"{option}={values}"])  # says which options are known
    ranged = RANGE.fullmatch(values)
    return _read_numbers(text, option, ranged, recipe) if ranged else Choices(option, tuple(_split(text, values)))


def _read_numbers(text: str, option: str, ranged: re.Match[str], recipe: Recipe) -> Numbers:
    how = ranged["how"]
    try:
        low, high = float(ranged["low"]), float(ranged["high"])
        step = None if how in (None, "log") else float(how)
    except ValueError:
        raise SamecarError(f"--over {text!r} is not of the form {FORM}") from None
    if not low < high:
        raise SamecarError(f"--over {text!r}: {low:g} is not below {high:g}; give the smaller number first")
    if how == "log" and low <= 0:
        raise SamecarError(f"--over {text!r}: a logarithm needs numbers above 0; leave out :log, or begin above 0")
    if step is not None and not 0 < step <= high - low:
        raise SamecarError(f"--over {text!r}: the step is {step:g}; give more than 0, and at most {high - low:g}")
    own = value_of(recipe, option)
    whole = isinstance(own, int) or (own is None and low.is_integer() and high.is_integer())
    if whole:
        if not all(number.is_integer() for number in (low, high, step or 1.0)):
            raise SamecarError(f"--over {text!r}: {option} takes whole numbers; give such ones")
        low, high, step = int(low), int(high), None if step is None else int(step)
    return Numbers(option, low, high, step, how == "log", whole)


def _split(text: str, values: str) -> Iterator[str]:
    """Values between commas, but for those inside of brackets."""
    depth, begin = 0, 0
    for place, sign in enumerate(f"{values},"):
        depth += (sign == "[") - (sign == "]")
        if sign == "," and not depth:
            if not (value := values[begin:place].strip()):
                raise SamecarError(f"--over {text!r} is not of the form {FORM}")
            yield value
            begin = place + 1
    if depth:
        raise SamecarError(f"--over {text!r} has a bracket without its other one; close it")


def _check_allowed(change: str, others: Sequence[Searched], recipe: Recipe) -> None:
    """Checks a value alone, and then, as some options are read only beside others, with theirs."""
    try:
        change_recipe(recipe, [change])
    except SamecarError:
        beside = (other_change for other in others for other_change in other.ends())
        if not any(_changed(recipe, [other_change, change]) for other_change in beside):
            raise


def _changed(recipe: Recipe, changes: Sequence[str]) -> Recipe | None:
    try:
        return change_recipe(recipe, changes)
    except SamecarError:
        return None
