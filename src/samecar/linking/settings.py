"""How sightings are linked."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

JOURNEY: str = "journey"
"""The label that a linked entry has."""


class LinkSettings(BaseModel):
    """How sightings are linked to journeys; no setting was chosen on vehicles that results are reported of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: float = Field(
        3600.0,
        gt=0,
        allow_inf_nan=False,
        description="most seconds between two sightings of a journey, where travel times say nothing else",
    )
    travel_times: Path | None = Field(
        None,
        description="table (.csv) of travel times in seconds: from, to, least and, where it is known, most; "
        "default: they are learned from sure links",
    )
    learn: bool = Field(True, description="learn travel times from sure links where no table is given")
    untimed: bool = Field(True, description="link sightings without a usable time by appearance alone")
    same_camera: bool = Field(
        False, description="also compare sightings by one camera, which the calibration has not seen"
    )
    floor: float = Field(
        -4.0, lt=0, ge=-20, description="log-odds that a pair of sightings is given at least, however unlike they are"
    )
