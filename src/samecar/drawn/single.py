"""A single drawn picture."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import drawncars
from samecar.errors import SamecarError

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def _translate_errors(function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """The same function of the renderer, which knows nothing of samecar, with samecar's error for what it refuses."""

    @wraps(function)
    def call(*args: Arguments.args, **options: Arguments.kwargs) -> Value:
        try:
            return function(*args, **options)
        except ValueError as error:
            raise SamecarError(str(error)) from error

    call.__doc__ = (function.__doc__ or "").replace("ValueError:", "SamecarError:")
    return call


draw_vehicle = _translate_errors(drawncars.draw_vehicle)
