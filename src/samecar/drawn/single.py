"""A single drawn picture."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import drawncars
from samecar.errors import SamecarError

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def _with_sentences(function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """A function of the renderer, which knows nothing of samecar, whose errors are those of samecar."""

    @wraps(function)
    def call(*args: Arguments.args, **options: Arguments.kwargs) -> Value:
        try:
            return function(*args, **options)
        except ValueError as error:
            raise SamecarError(str(error)) from error

    return call


draw_vehicle = _with_sentences(drawncars.draw_vehicle)
