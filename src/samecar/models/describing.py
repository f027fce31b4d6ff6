"""What a protocol card says of a model: the weights that it began with, and the features that are compared."""

from collections.abc import Mapping
from typing import Any

from samecar.config import ModelSettings


def describe_weights(weights: Mapping[str, Any]) -> str:
    """What a protocol card says of weights, from what run.json holds of them; 'not stated' from nothing."""
    if not weights:
        return "not stated"
    if weights["sha256"] is None:
        return str(weights["name"])
    stated = f"SHA-256 {weights['sha256'][:16]}, licence {weights['licence'] or 'not stated'}"
    if "began_with" in weights:
        stated = f"{stated}; it began with {describe_weights(weights['began_with'])}"
    return f"{weights['name']} ({stated})"


def describe_embedding(settings: ModelSettings) -> str | None:
    """What a protocol card says of the features that are compared; None where a network has one alone."""
    said = [f"{settings.embedding} the neck"] if settings.neck != "none" else []
    if settings.branches > 1:
        said.append(f"{settings.branches} branches, each of length one")
    if settings.stripes:
        said.append(f"the whole map and {settings.stripes} stripes")
    if settings.whitening != "none":
        said.append(f"{settings.whitening} whitening")
    return "; ".join(said) or None
