"""What an exported file says of itself: each fact is JSON under a name of its own in the file's metadata."""

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, field_serializer

from samecar.errors import SamecarError
from samecar.files import parse_json
from samecar.preprocessing import Preprocessing

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PREFIX = "samecar."
"""Begins the names of the facts in the file's metadata."""

FORMAT = 2
"""Of what is written here; a file with a higher number is of a newer samecar. Files for onnxruntime have 1."""

PICTURES, EMBEDDINGS = "pictures", "embeddings"
"""Names of what goes into an exported model and of what comes out."""

Precision = Literal["fp32", "bf16", "int8"]
"""Numbers that the layers compute with."""

Runner = Literal["onnxruntime", "openvino"]
"""Libraries that run exported files."""


class TrainedOn(BaseModel):
    """What a model was trained on, so that nobody scores or calibrates on it.

    Attributes:
        source: as it was given, without the folder's path.
        digest: of the manifest of training pictures.
        pictures: how many there were.
        vehicles: the names of those that it was trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    digest: str
    pictures: int
    vehicles: tuple[str, ...]


class ExportFacts(BaseModel):
    """What is known of an exported model.

    Attributes:
        format: of these facts.
        samecar: version that wrote the file.
        torch: version that wrote it.
        model: digest of the model that was exported.
        composition: what that is made of; empty for a single network.
        recipe: digest of the recipe that it was trained by; None where it is not known.
        precision: numbers that the layers compute with.
        runner: the library that runs the file, and that it was compared with torch by.
        calibrated_on: which pictures int8 was calibrated on; None for others.
        preprocessing: what is done to its pictures before: height and width, and how they are read. Mean and deviation
            are told for readers; the file itself normalises.
        embedding_size: numbers in an embedding.
        licence: of the weights that training began with; None where none is stated.
        initial_weights: which these were.
        epoch_choice: how the epoch was chosen.
        seed: of training.
        trained_on: None where it is not known.
        scores: of the model that was exported, each with its protocol card; empty if it was not evaluated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    samecar: str
    torch: str
    model: str
    composition: str
    recipe: str | None
    precision: Precision
    runner: Runner = "onnxruntime"
    calibrated_on: str | None
    preprocessing: Preprocessing
    embedding_size: int
    licence: str | None
    initial_weights: str
    epoch_choice: str
    seed: int | None
    trained_on: TrainedOn | None
    scores: tuple[dict[str, Any], ...]

    @field_serializer("preprocessing")
    def _preprocessing_as_facts(self, preprocessing: Preprocessing) -> dict[str, Any]:
        return preprocessing.as_facts()

    def as_metadata(self) -> dict[str, str]:
        """Texts by name, as a file keeps them; what earlier versions do not know is left out where it says nothing."""
        told = self.model_dump(mode="json", exclude={"runner"} if self.format == 1 else None)
        return {f"{PREFIX}{name}": json.dumps(value) for name, value in told.items()}


def describes_itself(session: "InferenceSession") -> bool:
    """Whether an ONNX file says of itself what it is, as those of `samecar export` do."""
    return any(name.startswith(PREFIX) for name in session.get_modelmeta().custom_metadata_map)


def read_facts(session: "InferenceSession") -> ExportFacts:
    """Reads what an exported file says of itself, and checks that its input and output are so.

    Raises:
        SamecarError: it says nothing, is of a newer samecar, or is another network than it says.
    """
    if not describes_itself(session):
        raise SamecarError(
            "the ONNX file is none that `samecar export` wrote; say how it takes pictures with --preprocessing, as in "
            "--preprocessing 256x128:imagenet, or export a run"
        )
    metadata = session.get_modelmeta().custom_metadata_map
    told = {name.removeprefix(PREFIX): text for name, text in metadata.items() if name.startswith(PREFIX)}
    if told.get("format", "").isdecimal() and int(told["format"]) > FORMAT:
        raise SamecarError(
            f"the ONNX file has format {told['format']} and this samecar knows {FORMAT}; take a newer samecar"
        )
    try:
        facts = ExportFacts.model_validate({name: parse_json(text) for name, text in told.items()})
    except ValueError as error:  # pydantic's are ValueErrors too
        raise SamecarError("what the ONNX file says of itself is damaged; export it again") from error
    taken, given = session.get_inputs(), session.get_outputs()
    size = [3, facts.preprocessing.height, facts.preprocessing.width]
    fits = len(taken) == len(given) == 1 and (taken[0].type, taken[0].shape[1:]) == ("tensor(uint8)", size)
    if not fits or given[0].shape[1:] != [facts.embedding_size]:
        raise SamecarError("the network in the ONNX file is another one than its metadata says; export it again")
    return facts
