"""What has embedded a gallery's pictures, and whether what embeds now gives the same: no gallery mixes two kinds."""

import json
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from samecar.errors import SamecarError
from samecar.files import parse_json
from samecar.retrieval.engine import Engine

if TYPE_CHECKING:
    from samecar.embedding.encoder import Encoder

RUNTIME_FILE: Final = "runtime.json"
"""What is kept with a gallery, from its first picture on."""

LEAST_COSINE: Final = 0.999
"""Between the embeddings of one picture by what embedded a gallery's first pictures and by what embeds now."""

_SIDE, _AREAS = 160, 5


class NotedRuntime(BaseModel):
    """What embedded a gallery's first pictures.

    Attributes:
        runtime: its name and precision, such as "onnxruntime, float32".
        embedding: of `sample_picture`, of length one.
    """

    model_config = ConfigDict(frozen=True)

    runtime: str
    embedding: tuple[float, ...]

    @classmethod
    def of(cls, model: "Encoder") -> Self:
        """What a model's runtime gives."""
        embedding = model.embed([sample_picture()])[0]
        return cls(runtime=model.runtime.name, embedding=tuple(round(float(value), 7) for value in embedding))

    @classmethod
    def read(cls, engine: Engine) -> Self | None:
        """What is kept with a gallery; None if it holds no picture that was embedded since this is noted.

        Raises:
            SamecarError: it is damaged.
        """
        content = engine.attached(RUNTIME_FILE)
        try:
            return None if content is None else cls.model_validate(parse_json(content))
        except ValueError as error:  # pydantic's are ValueErrors too
            raise SamecarError(
                f"what the gallery keeps of its runtime, {RUNTIME_FILE}, is damaged; remove it and add a picture"
            ) from error


def sample_picture() -> Image.Image:
    """The picture that runtimes are compared on: areas of different colours that run into each other."""
    areas = np.random.default_rng(0).integers(0, 256, (_AREAS, _AREAS, 3), dtype=np.uint8)
    return Image.fromarray(areas).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)


def note_runtime(engine: Engine, model: "Encoder") -> None:
    """Notes what embeds a gallery's pictures, or checks it where that is noted.

    Raises:
        SamecarError: the model gives other embeddings here than where the gallery's first pictures were embedded.
    """
    noted = NotedRuntime.read(engine)
    if noted is None:
        engine.attach(RUNTIME_FILE, json.dumps(NotedRuntime.of(model).model_dump()).encode())
    else:
        _refuse_other(noted, model)


def check_runtime(engine: Engine, model: "Encoder") -> None:
    """Checks that a model gives the embeddings that it gave, if that is noted.

    Raises:
        SamecarError: it gives others.
    """
    noted = NotedRuntime.read(engine)
    if noted is not None:
        _refuse_other(noted, model)


def _refuse_other(noted: NotedRuntime, model: "Encoder") -> None:
    now = NotedRuntime.of(model)
    cosine = float(np.dot(now.embedding, noted.embedding)) if len(now.embedding) == len(noted.embedding) else 0.0
    if not cosine >= LEAST_COSINE:
        raise SamecarError(
            f"the gallery's pictures were embedded by {noted.runtime}, and {now.runtime} gives a picture an embedding "
            f"whose cosine with theirs is {cosine:.4f}, below {LEAST_COSINE}; embed on a machine like the first one, "
            "or make the gallery again"
        )
