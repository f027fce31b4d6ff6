"""What the service takes and answers, as its description shows it."""

import re
from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from samecar.errors import SamecarError
from samecar.retrieval.records import LARGEST_SIZE, LISTED_VALUES, CameraSummary, Entry, Filter, IndexSettings
from samecar.retrieval.times import known_time_text, parse_time
from samecar.serving.errors import invalid
from samecar.serving.uploads import FIELD_BYTES

LARGEST_ID = 2**63 - 1
"""What a database's number holds."""

CAMERAS = 64
"""Most cameras that a filter names."""

VALUES = 64
"""Most types, colours and labels that a filter names."""

LABELS = 32
"""Most labels of an entry."""

DIGEST = r"^[0-9a-f]{16}$"
"""How a model's digest is written."""

Text = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name in one line."""

Name = Annotated[Text, AfterValidator(str.strip)]
"""The same of what is kept: blanks around it never tell two things apart."""

LabelText = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]
"""What a label says."""

LabelChoice = Annotated[
    str, StringConstraints(max_length=1257, pattern=r"^[^\x00=]+=[^\x00]*$"), Field(examples=["lane=2"])
]
"""A label that an entry must have, with its value."""

TimeText = Annotated[Text, Field(json_schema_extra={"format": "date-time"})]
"""A time; of the ways to write one the description names the one that everybody knows."""

CropText = Annotated[
    Text, Field(json_schema_extra={"pattern": r"^((0|1|0?\.[0-9]+|1\.0+)(,(0|1|0?\.[0-9]+|1\.0+)){3})?$"})
]
"""Four shares of a picture's sides, or nothing; the description cannot say that they lie within the picture."""

Crops = Annotated[
    list[CropText],
    Field(
        description="left,top,width,height as shares of the upright picture; with several pictures one for each, blank "
        "for a whole one"
    ),
]

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time that is told."""

Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]

Content = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

Labels = Annotated[
    dict[Text, LabelText],
    Field(
        max_length=LABELS,
        json_schema_extra={"propertyNames": {"maxLength": 256}, "additionalProperties": False},  # but for its patterns
    ),
]


class EntryFilter(BaseModel):
    """Which entries are meant."""

    model_config = ConfigDict(extra="forbid")

    camera: list[Text] = Field([], max_length=CAMERAS, description="only these cameras")
    not_camera: list[Text] = Field([], max_length=CAMERAS, description="none of these cameras")
    after: TimeText | None = Field(
        None, description="at this time or later; ISO 8601, UTC where it names no zone, or seconds since 1970"
    )
    before: TimeText | None = Field(None, description="earlier than this time")
    type: list[Text] = Field(
        [], max_length=VALUES, description="only vehicles of these types, as the label `type` says"
    )
    colour: list[Text] = Field([], max_length=VALUES, description="only of these colours, as the label `colour` says")
    label: list[LabelChoice] = Field(
        [], max_length=VALUES, description="NAME=VALUE: only with this label; of several values of one label, any"
    )

    def to_filter(self) -> Filter:
        """The same as the gallery takes it.

        Raises:
            ServiceError: a time cannot be understood.
        """
        return Filter(
            cameras=tuple(self.camera),
            not_cameras=tuple(self.not_camera),
            after=parse_seconds(self.after, "after"),
            before=parse_seconds(self.before, "before"),
            types=tuple(self.type),
            colours=tuple(self.colour),
            labels=_join_choices(self.label),
        )


def _join_choices(choices: list[str]) -> dict[str, tuple[str, ...]]:
    """The values that each label may have."""
    joined: dict[str, tuple[str, ...]] = {}
    for choice in choices:
        name, _, value = choice.partition("=")
        joined[name] = (*joined.get(name, ()), value)
    return joined


class PageQuery(EntryFilter):
    """Which page of entries is meant."""

    beyond: int = Field(0, ge=0, le=LARGEST_ID, description="from the first number above this one")
    limit: int = Field(50, ge=1, description="at most so many")


class SearchQuery(EntryFilter):
    """Which entries may be found, and how many."""

    top: int = Field(20, ge=1, description="at most so many")
    prior: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="probability, before looking, that the gallery has the vehicle, for whoever knows it; it decides "
        "alone then, without a threshold. Default: 0.5, with the threshold",
    )


class SearchForm(SearchQuery):
    """A picture to search with, or several views of one vehicle, which are searched with together."""

    picture: list[UploadFile] = Field(min_length=1, description="a picture, or several of one vehicle: one answer")
    crop: Crops = []


class EmbeddingSearch(SearchQuery):
    """An embedding to search with, so that its picture need not be sent."""

    model: Annotated[str, StringConstraints(pattern=DIGEST)] = Field(
        description="digest of the model that made it, which must be the gallery's; see /api/gallery"
    )
    embedding: list[Annotated[float, Field(allow_inf_nan=False)]] = Field(
        min_length=1, max_length=LARGEST_SIZE, description="of length one, within 0.001"
    )
    content: Content | None = Field(
        None, description="SHA-256 of the picture's file, if judgements on it are to be told"
    )


class AdditionForm(BaseModel):
    """A picture to add, and what is known about it."""

    model_config = ConfigDict(extra="forbid")

    picture: UploadFile
    camera_id: Name = ""
    time: TimeText | None = Field(None, description="ISO 8601, UTC where it names no zone, or seconds since 1970")
    track_id: Name = ""
    vehicle_id: Name = ""
    labels: Annotated[str, StringConstraints(max_length=FIELD_BYTES)] = Field(
        "{}",
        description=f"a JSON object of texts, {LABELS} at most",
        examples=['{"lane": "2"}'],
        json_schema_extra={"contentMediaType": "application/json"},
    )


class JudgementForm(BaseModel):
    """Somebody's word on a query, which is either stored or sent along as it was searched with, and an entry."""

    model_config = ConfigDict(extra="forbid")

    entry: Id
    same: bool
    query_id: Id | None = Field(None, description="number of the query where it is in the gallery")
    query: list[UploadFile] = Field([], description="the query's picture where it is not, or its views")
    crop: Crops = []
    replace: bool = Field(True, description="whether an earlier judgement that says otherwise may be replaced")


class Change(BaseModel):
    """What is to be known about an entry from now on; what is left out or null stays as it is.

    An empty text forgets what was known. Labels are all that there are from then on.
    """

    model_config = ConfigDict(extra="forbid")

    camera_id: Name | None = None
    time: Literal[""] | TimeText | None = Field(None, description='ISO 8601, or seconds since 1970; "" forgets it')
    track_id: Name | None = None
    vehicle_id: Name | None = None
    labels: Labels | None = None


class Camera(BaseModel):
    """What a gallery holds of a camera."""

    camera_id: str
    pictures: int
    first: Moment | None
    last: Moment | None


class Limits(BaseModel):
    """What the service allows."""

    bytes: int
    pixels: int
    top: int
    views: int


class CalibrationFacts(BaseModel):
    """What a calibration was learned from."""

    data: str
    digest: str = Field(description="of the manifest of its pictures")
    vehicles: int


class GalleryReply(BaseModel):
    """What the gallery is and holds."""

    name: str
    version: str = Field(description="of samecar")
    model: str = Field(description="digest of the model")
    index: IndexSettings
    pictures: int
    vehicles: int
    cameras: list[Camera]
    first: Moment | None
    last: Moment | None
    calibrated: bool
    calibration: CalibrationFacts | None
    false_alarm_rate: float | None
    limits: Limits
    writable: bool


class LabelCount(BaseModel):
    """How many entries have a label with a value."""

    value: str
    pictures: int


class LabelReply(BaseModel):
    """A label that entries have."""

    name: str
    values: list[LabelCount] = Field(
        description=f"most frequent first; none where it has more than {LISTED_VALUES}, as a note has"
    )


class LabelsReply(BaseModel):
    """The labels that entries have, by their names."""

    labels: list[LabelReply]


class Picture(BaseModel):
    """An entry of the gallery."""

    id: int
    camera_id: str
    time: Moment | None
    track_id: str
    vehicle_id: str
    labels: dict[str, str]
    name: str = Field(description="last part of the place where the picture lies")
    thumbnail: str | None = Field(description="where its thumbnail is, if the gallery keeps them")
    previews: str | None = Field(
        description="where its larger pictures are listed, if the gallery keeps them or the service shows originals"
    )


class Result(Picture):
    """An entry that was found."""

    similarity: float = Field(description="cosine of the angle between both embeddings")
    probability: float | None = Field(
        description="calibrated, that it is the same vehicle, in this search among many; never above the verdict's own"
    )
    pair_probability: float | None = Field(
        description="calibrated, of the two pictures alone, if it was 50 % before: what `probability` was in services "
        "that answer without this field"
    )
    judgement: bool | None = Field(description="whether somebody said that it is the same vehicle")


class PreviewFacts(BaseModel):
    """A larger picture of an entry."""

    address: str = Field(description="where it is")
    seconds: float | None = Field(description="from the beginning of the film that it was taken from")


class PreviewsReply(BaseModel):
    """The larger pictures of an entry, the best first."""

    previews: list[PreviewFacts]
    film: str = Field(description="name of the film that they were taken from, if they were")
    original: str | None = Field(description="where the picture itself may be, if the service shows originals")


class QueryFacts(BaseModel):
    """What was searched with."""

    id: int | None
    content: str | None = Field(
        description="of the picture, or of all views together; null for an embedding that did not tell it"
    )


class Prior(BaseModel):
    """What was taken to be so before the search."""

    in_gallery: float = Field(description="probability that the vehicle is among those that were searched")
    vehicles: float = Field(description="how many these are, as far as is known")
    source: str = Field(description="what their number comes from: labels, tracks, pictures")
    stated: bool = Field(description="whether the client stated the probability")


class Verdict(BaseModel):
    """Whether the vehicle is in the gallery at all; null without calibration."""

    in_gallery: bool | None = Field(
        description="its probability is above 0.5 and the best reaches the threshold; no result is likelier than not "
        "where it is false"
    )
    threshold: float | None = Field(description="that the best similarity must reach; null where a prior was stated")
    false_alarm_rate: float | None = Field(
        description="of vehicles that a gallery lacks, those that are still called in it, at most; null likewise"
    )
    probability: float | None = Field(description="that the gallery has the vehicle")
    prior: Prior | None


class SearchReply(BaseModel):
    """What was found, most similar first."""

    query: QueryFacts
    results: list[Result]
    verdict: Verdict
    seconds: float


class PicturesReply(BaseModel):
    """A page of entries, and from where to go on."""

    pictures: list[Picture]
    next: int | None


class AdditionReply(BaseModel):
    """Which entry a picture is, and whether it is new."""

    id: int
    added: bool


class JudgementFacts(BaseModel):
    """Somebody's word on a query and an entry."""

    query: str
    entry: int
    same: bool


class JudgementReply(JudgementFacts):
    """The same, and what it came in the place of."""

    former: bool | None = Field(description="what was said of both before, if anything was")


class JudgementsReply(BaseModel):
    """All judgements, oldest first."""

    judgements: list[JudgementFacts]


class State(BaseModel):
    """How the service is."""

    status: str


def parse_seconds(text: str | None, name: str) -> float | None:
    """A time as seconds since 1970; None where none is given.

    Raises:
        ServiceError: it cannot be understood.
    """
    if not text:
        return None
    try:
        return parse_time(text)
    except SamecarError as error:
        raise invalid(f"{name}: {error}") from error


def describe_camera(summary: CameraSummary) -> Camera:
    """Tells what a gallery holds of a camera."""
    first, last = known_time_text(summary.first), known_time_text(summary.last)
    return Camera(camera_id=summary.camera_id, pictures=summary.pictures, first=first, last=last)


def describe_entry(entry: Entry, thumbnails: bool, previews: bool) -> dict[str, Any]:
    """Tells what is known about an entry; of its address the last part alone.

    Args:
        entry: the entry.
        thumbnails: whether the gallery keeps them.
        previews: whether there may be larger pictures.
    """
    sighting = entry.sighting
    known = {name: value for name, value in sighting.known.items() if name != "address"}
    return {
        "id": entry.id,
        **known,
        "time": known_time_text(sighting.time),
        "name": last_part(sighting.address),
        "thumbnail": f"/api/pictures/{entry.id}/thumbnail" if thumbnails else None,
        "previews": f"/api/pictures/{entry.id}/previews" if previews else None,
    }


def last_part(address: str) -> str:
    """The last part of a path or an URL, all that others learn of where a picture lies."""
    place = address.partition("?")[0] if "://" in address else address
    return re.split(r"[/\\]", place.rstrip("/\\"))[-1]
