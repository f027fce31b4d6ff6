"""ONNX models of others: how they take pictures is stated once, and remembered beside the file."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from samecar.embedding.embeddings import NOT_STATED
from samecar.embedding.exported import ExportFacts, describes_itself
from samecar.errors import SamecarError
from samecar.files import parse_json, read_whole, write_json
from samecar.models.folders import EXPORTED_SUFFIX, is_exported, stated_beside
from samecar.preprocessing import Preprocessing
from samecar.version import __version__

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

COLOURS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Mean and deviation of R, G and B by name; 'none' leaves 0 to 1 as it is."""


DAMAGED = (
    "what is stated of the ONNX model is no height and width with three means and three deviations above 0; state it "
    "again with --preprocessing"
)


def state_preprocessing(path: Path, text: str) -> None:
    """Remembers beside an ONNX file of others how it takes pictures.

    Args:
        path: of the file.
        text: HEIGHTxWIDTH:COLOURS, such as 256x128:imagenet; with :quick behind it, pictures are read quickly.

    Raises:
        SamecarError: the text means nothing, there is no such file, `samecar export` wrote it, or it takes other
            pictures; what was stated before is kept then.
    """
    from samecar.embedding.runtimes.onnx import open_session

    if not is_exported(path) or not path.is_file():
        raise SamecarError(f"preprocessing is {text!r}, but {path} is no {EXPORTED_SUFFIX} file; a run knows its own")
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4}):(\w+)(:quick)?", text, re.ASCII)
    if found is None or found[3] not in COLOURS:
        raise SamecarError(
            f"preprocessing is {text!r}; give HEIGHTxWIDTH:COLOURS with colours {', '.join(COLOURS)}, such as "
            "256x128:imagenet, or with :quick behind it"
        )
    stated = Preprocessing(int(found[1]), int(found[2]), *COLOURS[found[3]], "quick" if found[4] else "exact")
    session = open_session(read_whole(path), "cpu")
    if describes_itself(session):
        raise SamecarError(f"preprocessing is {text!r}, but {path} says itself how it takes pictures; leave it out")
    facts_of_foreign(session, stated, NOT_STATED)
    write_json(stated_beside(path), stated.as_facts())


def parse_stated(content: bytes) -> Preprocessing:
    """Reads what was remembered.

    Raises:
        SamecarError: it is damaged.
    """
    try:
        stated = TypeAdapter(Preprocessing).validate_python(parse_json(content))
    except ValueError as error:  # pydantic's are ValueErrors too
        raise SamecarError(DAMAGED) from error
    colours = len(stated.mean), len(stated.deviation)
    if colours != (3, 3) or min(stated.height, stated.width, *stated.deviation) <= 0:
        raise SamecarError(DAMAGED)
    return stated


def facts_of_foreign(session: "InferenceSession", stated: Preprocessing, digest: str) -> ExportFacts:
    """What is known of an ONNX model of others, whose input and output are checked.

    Args:
        session: with the model.
        stated: how it takes pictures.
        digest: of its file.

    Raises:
        SamecarError: it takes or gives something else than pictures of this size and embeddings.
    """
    taken, given = session.get_inputs(), session.get_outputs()
    size = [3, stated.height, stated.width]
    if len(taken) != 1 or taken[0].type != "tensor(float)" or not _fits(taken[0].shape, size):
        told = "; ".join(f"{each.type} {each.shape}" for each in taken)
        raise SamecarError(
            f"the ONNX model takes {told}, and pictures of float32 (batch, 3, {stated.height}, {stated.width}) are "
            "needed with a batch of any size; state another size, or export the model so"
        )
    widths = given[0].shape[1:]
    if not widths or not all(isinstance(side, int) for side in widths) or sum(side > 1 for side in widths) > 1:
        raise SamecarError(f"the ONNX model's first output has shape {given[0].shape}; (batch, size) is needed")
    return ExportFacts(
        samecar=__version__,
        torch=NOT_STATED,
        model=digest,
        composition="a model of others",
        recipe=None,
        precision="fp32",
        calibrated_on=None,
        preprocessing=stated,
        embedding_size=max(widths),
        licence=None,
        initial_weights=NOT_STATED,
        epoch_choice=NOT_STATED,
        seed=None,
        trained_on=None,
        scores=(),
    )


def _fits(shape: list[object], size: list[int]) -> bool:
    """Whether an input takes pictures of a size in batches of any size."""
    if len(shape) != 4 or isinstance(shape[0], int):
        return False
    return all(not isinstance(side, int) or side == wanted for side, wanted in zip(shape[1:], size, strict=True))
