"""The library FAISS."""

import importlib.util
from typing import TYPE_CHECKING

from samecar.errors import missing_library

if TYPE_CHECKING:
    from types import ModuleType


def faiss_module() -> "ModuleType":
    """The module faiss.

    Raises:
        SamecarError: it is not installed.
    """
    if importlib.util.find_spec("faiss") is None:
        raise missing_library("a gallery in a folder needs", "faiss", None)
    import faiss

    module: ModuleType = faiss
    return module
