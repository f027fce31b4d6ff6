# The names of this package, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is
# used.

from .embedder import Embedder as Embedder
from .embedder import Outputs as Outputs
from .embedder import build_embedder as build_embedder
