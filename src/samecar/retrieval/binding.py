"""The model that a gallery is bound to: opened from it, and compared with what the gallery says of it."""

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from samecar.data.pictures import BACKGROUND
from samecar.errors import SamecarError
from samecar.retrieval.engine import FORMAT, Engine
from samecar.retrieval.records import LARGEST_PREVIEW, GalleryFacts

if TYPE_CHECKING:
    from samecar.embedding.encoder import Encoder

TRIED_SIDE = 160
"""Pixels of each side of the picture that a model is tried with."""


def open_model(engine: Engine, device: str) -> "Encoder":
    """The model of a gallery.

    Args:
        engine: what keeps the gallery.
        device: where the model runs.

    Raises:
        SamecarError: the gallery holds no model, or another one than it says.
    """
    from samecar.embedding.encoder import Encoder
    from samecar.models.folders import KEPT_FILES

    files = {name: content for name in KEPT_FILES if (content := engine.attached(name)) is not None}
    model, facts = Encoder(files, device), engine.facts
    if model.digest != facts.model:
        raise SamecarError(
            f"the gallery's embeddings are of model {facts.model}, but the model that lies in it is {model.digest}; "
            "put the right one back, or make the gallery again"
        )
    if facts.description not in ("", digest_description(model)):
        raise SamecarError(
            "the gallery's model is described otherwise than when the gallery was made; put the right description "
            "back, or make the gallery again"
        )
    return model


def make_facts(model: "Encoder", thumbnail: int, preview: int = 0) -> GalleryFacts:
    """What a gallery is that is made now.

    Args:
        model: whose embeddings it will hold.
        thumbnail: longer side of thumbnails in pixels; 0 keeps none.
        preview: longer side of larger pictures in pixels; 0 keeps none.

    Raises:
        SamecarError: larger pictures are too large, or no larger than thumbnails.
    """
    if not 0 <= preview <= LARGEST_PREVIEW or 0 < preview <= thumbnail:
        raise SamecarError(
            f"preview is {preview:,} pixels; give more than the thumbnail's {thumbnail:,} and at most "
            f"{LARGEST_PREVIEW:,}, or 0 to keep none"
        )
    return GalleryFacts(
        format=FORMAT,
        model=model.digest,
        size=model.embedding_size,
        thumbnail=thumbnail,
        preview=preview,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        description=digest_description(model),
    )


def check_model(model: "Encoder", facts: GalleryFacts) -> None:
    """Embeds a grey picture.

    Raises:
        SamecarError: the model is damaged, or does not give such embeddings as the gallery holds.
    """
    embedding = model.embed([Image.new("RGB", (TRIED_SIDE, TRIED_SIDE), BACKGROUND)])[0]
    if len(embedding) != facts.size or not np.isfinite(embedding).all():
        raise SamecarError(
            f"the gallery's model gives {len(embedding)} numbers, {np.isfinite(embedding).sum()} of them finite, and "
            f"its embeddings have {facts.size}; put the right one back, or make the gallery again"
        )


def digest_description(model: "Encoder") -> str:
    """Of the file that describes a model, sixteen hexadecimal digits; empty for an exported one, which holds it."""
    from samecar.models.folders import DESCRIPTION_FILE

    description = model.files.get(DESCRIPTION_FILE)
    return "" if description is None else hashlib.sha256(description).hexdigest()[:16]
