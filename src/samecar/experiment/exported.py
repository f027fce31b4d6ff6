"""An exported file where a run is taken: it embeds, and tells what its model was trained on and began with."""

from pathlib import Path

from samecar.embedding.embeddings import NOT_STATED
from samecar.embedding.encoder import Encoder
from samecar.embedding.exported import ExportFacts
from samecar.embedding.runtimes.onnx import ForeignRuntime, OnnxRuntime
from samecar.errors import SamecarError
from samecar.files import as_path
from samecar.training.run import RunData


class ExportedModel:
    """A file of `samecar export`, or of others; found by `open`, and taken wherever a run is not trained further.

        >>> exported = ExportedModel.open("first.onnx")
        >>> exported.composition
        'exported as ONNX, fp32, of model 3f0c9a4d11b27e65'

    Attributes:
        path: of the file.
        facts: what it says of itself.
        encoder: embeds with it on the processor.
    """

    def __init__(self, path: Path, encoder: Encoder, facts: ExportFacts) -> None:
        self.path = path
        self.facts = facts
        self.encoder = encoder

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}: {self.composition}>"

    @classmethod
    def open(cls, path: str | Path) -> "ExportedModel":
        """Reads a file.

        Raises:
            SamecarError: it is not there, damaged, or none that `samecar export` wrote.
        """
        path = as_path(path, "exported model")
        encoder = Encoder.open(path, device="cpu")
        assert isinstance(encoder.runtime, OnnxRuntime)
        try:
            return cls(path, encoder, encoder.runtime.facts)
        except SamecarError as error:
            raise SamecarError(f"{path}: {error}") from error

    @property
    def folder(self) -> Path:
        """Beside the file, for what is learned of it: scores, report and calibration."""
        return self.path.with_name(f"{self.path.name}.results")

    @property
    def data(self) -> RunData:
        """What its model was trained on; 'not stated', with no vehicles, where that is not known."""
        known = self.facts.trained_on
        return RunData(NOT_STATED, NOT_STATED, 0, ()) if known is None else RunData(**known.model_dump())

    @property
    def composition(self) -> str:
        """What it was made of, as the protocol card says it."""
        if isinstance(self.encoder.runtime, ForeignRuntime):
            return f"ONNX model of others, file {self.facts.model}"
        calibrated = f", calibrated on {self.facts.calibrated_on}" if self.facts.calibrated_on else ""
        made_of = f": {self.facts.composition}" if self.facts.composition else ""
        runner = " for OpenVINO" if self.facts.runner == "openvino" else ""
        return f"exported as ONNX{runner}, {self.facts.precision}{calibrated}, of model {self.facts.model}{made_of}"

    @property
    def initial_weights(self) -> str:
        """What the training of its model began with, as the protocol card says it."""
        return self.facts.initial_weights

    @property
    def epoch_choice(self) -> str:
        """How the epoch of its model was chosen."""
        return self.facts.epoch_choice

    @property
    def seed(self) -> int | None:
        """Of the training of its model."""
        return self.facts.seed

    def model_digest(self) -> str:
        """Sixteen hexadecimal digits of the file's content."""
        return self.encoder.digest
