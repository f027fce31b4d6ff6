"""Honest scores: protocols as data, metrics as pure functions, and a card beside every number."""

from samecar.evaluation.protocols import PROTOCOLS, Protocol, Relevance, default_protocol, find_protocol, with_junk
from samecar.evaluation.records import compare_runs, save_evaluation
from samecar.evaluation.results import Evaluation, Options, ProtocolCard, Provenance
from samecar.evaluation.scoring import score
from samecar.labels import Labels
from samecar.similarity.counting import Work

__all__ = [
    "PROTOCOLS",
    "Evaluation",
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
