"""The library FAISS."""

import importlib.util
from typing import TYPE_CHECKING

from samecar.errors import missing_library

if TYPE_CHECKING:
    from types import ModuleType


def require_faiss() -> None:
    """Says so where FAISS is not installed; loading it takes longer than most that is done with a gallery.

    Raises:
        SamecarError: it is not installed.
    """
    if importlib.util.find_spec("faiss") is None:
        raise missing_library("a gallery in a folder needs", "faiss", None)


def faiss_module() -> "ModuleType":
    """The module faiss, which `require_faiss` has found."""
    import faiss

    module: ModuleType = faiss
    return module
