"""What groups of options share, and the digest of anything."""

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
NonNegativeFloat = Annotated[float, Field(ge=0)]

LATER: dict[str, JsonValue] = {"later": True}
"""Marks options that an earlier version did not have; their default is what that version did."""


class Settings(BaseModel):
    """A group of options; it cannot be changed and an unknown option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def refuse_unread(settings: Settings, options: Iterable[str], reason: str) -> None:
    """Refuses options that are not at their default though nothing would read them."""
    for name in options:
        value = getattr(settings, name)
        if value != type(settings).model_fields[name].default:
            raise ValueError(f"{name} is {value!r} but {reason}, or leave {name} out")


def digest(content: object) -> str:
    """Sixteen hexadecimal digits of SHA-256 over JSON content with sorted keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
