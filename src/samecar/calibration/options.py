"""How a model is calibrated: what the caller chooses, with the defaults."""

from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator

from samecar.config import Settings
from samecar.errors import SamecarError

Method = Literal["isotonic", "logistic"]
METHODS: tuple[Method, ...] = ("isotonic", "logistic")


class CalibrationOptions(Settings):
    """What can be chosen for a calibration.

    Raises:
        SamecarError: an option is unknown, or its value is not allowed.
    """

    method: Method | None = Field(
        None,
        description="isotonic or logistic, the curve from similarity to probability; default: the better one on "
        "vehicles not fitted to",
    )
    false_alarm_rate: float = Field(
        0.05, gt=0, lt=1, description="share of searches for a vehicle that the gallery lacks that may find it"
    )
    test_vehicles: bool = Field(
        False,
        description="calibrate on query and gallery pictures, although scores on them then no longer stand alone",
    )
    seed: int = Field(
        1, ge=0, description="of random halves of the vehicles, and of vehicles drawn from a large source"
    )

    def changed(self, **changes: object) -> Self:
        """The same with other values of some options, which are checked.

        Raises:
            SamecarError: an option is unknown, or its value is not allowed.
        """
        return self.model_validate({**self.model_dump(), **changes})

    @model_validator(mode="wrap")
    @classmethod
    def _say_what_is_allowed(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            first: Any = error.errors()[0]
            raise SamecarError(_refusal(str(first["loc"][0]), first["input"])) from error


def _refusal(name: str, value: object) -> str:
    allowed = {
        "method": " or ".join(METHODS),
        "false_alarm_rate": "a share above 0 and below 1, such as 0.05",
        "test_vehicles": "true or false",
        "seed": "a whole number, 0 or more",
    }
    if name not in allowed:
        return f"calibration has no option {name!r}; known are {', '.join(allowed)}"
    return f"{name.replace('_', ' ')} is {value!r}; give {allowed[name]}"
