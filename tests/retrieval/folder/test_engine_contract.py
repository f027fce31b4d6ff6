"""Every engine that needs no server fulfils the contract."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from engine_contract import EngineContract

from samecar.retrieval.engine import NO_FILES
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.folder.index import KINDS
from samecar.retrieval.records import GalleryFacts


class Folder:
    """A gallery in a folder."""

    approximate = tuple(kind for kind in KINDS if kind != "exact")
    in_one_place = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, facts: GalleryFacts, files: Mapping[str, bytes] = NO_FILES) -> FolderEngine:
        return FolderEngine.create(self.path, facts, files)

    def open(self) -> FolderEngine:
        return FolderEngine.open(self.path)


class TestFolder(EngineContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Folder:
        return Folder(tmp_path / "gallery")
