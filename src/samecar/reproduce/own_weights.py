"""Whether a run begins with the weights that the report's networks began with."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models.weights import sources

PUBLISHED = {
    "mobilenetv3_small_100": ("047dcff4",),
    "resnet18": ("f37072fd",),
    "legacy_seresnext50_32x4d": ("a260b3a4", "f3651bad"),
}
"""First digits of the SHA-256 of the files, by backbone; SE-ResNeXt50's as Cadene published it, and as timm has it."""


def is_own(settings: ModelSettings, recorded: Mapping[str, Any] | None = None) -> bool:
    """Whether a network begins with the report's own weights, whatever they are called here.

    Args:
        settings: of the network.
        recorded: `weights` of the run.json of a run with these settings, if one has begun; what it says counts.
    """
    digest = recorded["sha256"] if recorded else _resolve(settings)
    return digest is not None and digest.startswith(PUBLISHED.get(settings.backbone, ()))


@cache
def _resolve(settings: ModelSettings) -> str | None:
    """SHA-256 of the file that the settings name; None where there is none, or it cannot be found."""
    try:
        digest: str | None = sources.resolve_weights(settings).sha256
    except SamecarError:
        return None
    return digest
