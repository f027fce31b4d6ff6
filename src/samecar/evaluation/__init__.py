"""Honest scores: protocols as data, metrics as pure functions, and a card beside every number.

Names are loaded when they are first used: what may be chosen is known without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samecar.embedding.embeddings import Labelled
    from samecar.evaluation.options import Options
    from samecar.evaluation.protocols import PROTOCOLS, Protocol, Relevance, default_protocol, find_protocol, with_junk
    from samecar.evaluation.records import compare_runs, save_evaluation
    from samecar.evaluation.results import Evaluation, ProtocolCard, Provenance
    from samecar.evaluation.scoring import score
    from samecar.labels import Labels
    from samecar.similarity.counting import Work

_MODULES = {
    "samecar.embedding.embeddings": ("Labelled",),
    "samecar.evaluation.protocols": (
        "PROTOCOLS",
        "Protocol",
        "Relevance",
        "default_protocol",
        "find_protocol",
        "with_junk",
    ),
    "samecar.evaluation.records": ("compare_runs", "save_evaluation"),
    "samecar.evaluation.options": ("Options",),
    "samecar.evaluation.results": ("Evaluation", "ProtocolCard", "Provenance"),
    "samecar.evaluation.scoring": ("score",),
    "samecar.labels": ("Labels",),
    "samecar.similarity.counting": ("Work",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "Labelled",
    "Labels",
    "Options",
    "Protocol",
    "ProtocolCard",
    "Provenance",
    "Relevance",
    "Work",
    "compare_runs",
    "default_protocol",
    "find_protocol",
    "save_evaluation",
    "score",
    "with_junk",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
