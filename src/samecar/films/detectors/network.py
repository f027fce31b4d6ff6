"""An ONNX file that is run by onnxruntime."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from samecar.errors import SamecarError, missing_library
from samecar.files import as_path

if TYPE_CHECKING:
    from types import ModuleType

THREADS = 2
"""Of the detector; decoding and the embedder need cores too."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Network:
    """A network that can be run.

    Attributes:
        session: of onnxruntime.
        name: what errors call it.
        metadata: what whoever exported it wrote into it.
    """

    session: Any
    name: str
    metadata: Mapping[str, str]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Loads a file.

        Raises:
            SamecarError: it is missing, or no network that can be run.
        """
        runtime = _onnxruntime()
        path = as_path(path, "detector")
        if not path.is_file():
            raise SamecarError(
                f"detector {path} is not there; give an ONNX file in YOLOX form, or another that docs/films.md names"
            )
        options = runtime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = dict(session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # its errors have no class in common
            raise SamecarError(f"detector {path} is not an ONNX network that can be run; export it anew") from error
        return cls(session, str(path), metadata)

    @property
    def inputs(self) -> list[Any]:
        """Each with `name`, `shape` and `type`."""
        inputs: list[Any] = self.session.get_inputs()
        return inputs

    @property
    def outputs(self) -> list[Any]:
        """Each with `name` and `shape`, of which some lengths may be words."""
        outputs: list[Any] = self.session.get_outputs()
        return outputs

    def run(self, inputs: Arrays) -> Arrays:
        """What it gives, by the names of its outputs."""
        return dict(zip([output.name for output in self.outputs], self.session.run(None, inputs), strict=True))

    def picture_size(self, assumed: int) -> tuple[int, int] | None:
        """Height and width of the pictures that its first input takes.

        A length that the file leaves open is what its metadata say (`imgsz`), or what is assumed.

        Returns:
            None where that is no input for one picture in three colours, as numbers of floating point.
        """
        first = self.inputs[0]
        shape = first.shape
        several = isinstance(shape[0], int) and shape[0] != 1 if shape else True
        if len(shape) != 4 or several or shape[1] != 3 or first.type != "tensor(float)":
            return None
        stated = _whole_numbers(self.metadata.get("imgsz", ""))
        open_sides = stated if len(stated) == 2 else [assumed, assumed]
        height, width = (
            side if isinstance(side, int) else other for side, other in zip(shape[2:], open_sides, strict=True)
        )
        return height, width

    def describe(self) -> str:
        """Its inputs and outputs, for an error's sentence."""
        inputs, outputs = (
            ", ".join(f"{item.name} {item.shape}" for item in items) for items in (self.inputs, self.outputs)
        )
        return f"its inputs are {inputs} and its outputs {outputs}"


def _whole_numbers(text: str) -> list[int]:
    return [int(word) for word in text.strip("[]() ").split(",") if word.strip().isdecimal()]


def _onnxruntime() -> "ModuleType":
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_library("detectors need", "onnxruntime", "films") from error
    module: ModuleType = onnxruntime
    return module
