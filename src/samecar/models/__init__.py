"""Models: a picture becomes an embedding."""

from samecar.models.embedder import Embedder, Outputs, build_embedder

__all__ = ["Embedder", "Outputs", "build_embedder"]
