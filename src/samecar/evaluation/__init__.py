"""Honest scores: protocols as data, metrics as pure functions, and a card beside every number."""

from samecar.evaluation.protocols import PROTOCOLS, Labels, Protocol, Relevance, default_protocol, find_protocol
from samecar.evaluation.scoring import Evaluation, Labelled, ProtocolCard, Provenance, score

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "Labelled",
    "Labels",
    "Protocol",
    "ProtocolCard",
    "Provenance",
    "Relevance",
    "default_protocol",
    "find_protocol",
    "score",
]
