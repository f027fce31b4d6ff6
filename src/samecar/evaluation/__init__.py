"""Honest scores: protocols as data, metrics as pure functions, and a card beside every number."""

from samecar.evaluation.protocols import (
    PROTOCOLS,
    Labels,
    Protocol,
    Relevance,
    default_protocol,
    find_protocol,
    with_junk,
)
from samecar.evaluation.scoring import Evaluation, Labelled, Options, ProtocolCard, Provenance, score

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
    "default_protocol",
    "find_protocol",
    "score",
    "with_junk",
]
