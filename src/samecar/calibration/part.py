"""What all parts of a saved calibration have in common."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """Something that is saved: it cannot be changed, and has no field that is unknown, infinite or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def refuse_falling(name: str, first: tuple[float, ...], second: tuple[float, ...]) -> None:
    """Raises ValueError unless both are equally long, the first rises and the second never falls."""
    if len(first) != len(second) or (np.diff(first) <= 0).any() or (np.diff(second) < 0).any():
        raise ValueError(f"{name} and what stands beside them must be equally many and rise")
