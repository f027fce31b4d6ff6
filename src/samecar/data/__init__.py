"""Data: sources, the manifest, and what makes batches of it.

Names are loaded when they are first used: reading and checking a set does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samecar.data.checking import CheckResult, Finding, SplitSummary, check
    from samecar.data.dataset import (
        Batch,
        EvaluationLoader,
        Failure,
        FailureLog,
        PictureDataset,
        Sample,
        class_numbers,
        collate,
        evaluation_loader,
        training_loader,
    )
    from samecar.data.manifest import COLUMNS, SPLITS, Manifest
    from samecar.data.pictures import UnreadablePictureError, read_picture
    from samecar.data.sampling import Draw, IdentityBatches
    from samecar.data.sources.opening import SOURCES, open_source
    from samecar.data.splitting import hold_out_validation, split_by_identity
    from samecar.data.transforms import PictureTransform, evaluation_transform, training_transform

_MODULES = {
    "checking": ("CheckResult", "Finding", "SplitSummary", "check"),
    "dataset": (
        "Batch",
        "EvaluationLoader",
        "Failure",
        "FailureLog",
        "PictureDataset",
        "Sample",
        "class_numbers",
        "collate",
        "evaluation_loader",
        "training_loader",
    ),
    "manifest": ("COLUMNS", "SPLITS", "Manifest"),
    "pictures": ("UnreadablePictureError", "read_picture"),
    "sampling": ("Draw", "IdentityBatches"),
    "sources.opening": ("SOURCES", "open_source"),
    "splitting": ("hold_out_validation", "split_by_identity"),
    "transforms": ("PictureTransform", "evaluation_transform", "training_transform"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "COLUMNS",
    "SOURCES",
    "SPLITS",
    "Batch",
    "CheckResult",
    "Draw",
    "EvaluationLoader",
    "Failure",
    "FailureLog",
    "Finding",
    "IdentityBatches",
    "Manifest",
    "PictureDataset",
    "PictureTransform",
    "Sample",
    "SplitSummary",
    "UnreadablePictureError",
    "check",
    "class_numbers",
    "collate",
    "evaluation_loader",
    "evaluation_transform",
    "hold_out_validation",
    "open_source",
    "read_picture",
    "split_by_identity",
    "training_loader",
    "training_transform",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
