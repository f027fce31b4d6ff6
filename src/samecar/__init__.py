"""Vehicle re-identification: train, compare honestly, and search.

The names below are loaded when they are first used, so that importing samecar does not wait for torch.

    import samecar

    recipe = samecar.load_recipe("report-resnet18", ["training.epochs=10"])
    run = samecar.train(recipe, "veri776:VeRi", Path("runs/resnet18"))
    print(samecar.evaluate(run, "veri776:VeRi").as_dict())
"""

from importlib import import_module
from typing import TYPE_CHECKING

from samecar.version import __version__ as __version__

if TYPE_CHECKING:
    from samecar.calibration import Calibration
    from samecar.config import Recipe, load_recipe
    from samecar.data import Manifest, open_source
    from samecar.drawn import draw_set, draw_twin, draw_vehicle
    from samecar.embedding.embeddings import Embeddings
    from samecar.errors import SamecarError
    from samecar.evaluation import Evaluation, find_protocol, score
    from samecar.experiment.calibrate import calibrate, compare
    from samecar.experiment.evaluate import bound_model, embed_with, evaluate
    from samecar.experiment.train import train
    from samecar.films import YoloxDetector, ingest
    from samecar.hardware import machine
    from samecar.models import Embedder, build_embedder
    from samecar.retrieval.gallery import Gallery
    from samecar.training import Run


_MODULES = {
    "samecar.calibration": ("Calibration",),
    "samecar.config": (
        "Recipe",
        "load_recipe",
    ),
    "samecar.data": (
        "Manifest",
        "open_source",
    ),
    "samecar.drawn": (
        "draw_set",
        "draw_twin",
        "draw_vehicle",
    ),
    "samecar.embedding.embeddings": ("Embeddings",),
    "samecar.errors": ("SamecarError",),
    "samecar.evaluation": (
        "Evaluation",
        "find_protocol",
        "score",
    ),
    "samecar.experiment.calibrate": (
        "calibrate",
        "compare",
    ),
    "samecar.experiment.evaluate": (
        "bound_model",
        "embed_with",
        "evaluate",
    ),
    "samecar.experiment.train": ("train",),
    "samecar.films": (
        "YoloxDetector",
        "ingest",
    ),
    "samecar.hardware": ("machine",),
    "samecar.models": (
        "Embedder",
        "build_embedder",
    ),
    "samecar.retrieval.gallery": ("Gallery",),
    "samecar.training": ("Run",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Calibration",
    "Embedder",
    "Embeddings",
    "Evaluation",
    "Gallery",
    "Manifest",
    "Recipe",
    "Run",
    "SamecarError",
    "YoloxDetector",
    "bound_model",
    "build_embedder",
    "calibrate",
    "compare",
    "draw_set",
    "draw_twin",
    "draw_vehicle",
    "embed_with",
    "evaluate",
    "find_protocol",
    "ingest",
    "load_recipe",
    "machine",
    "open_source",
    "score",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'samecar' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
