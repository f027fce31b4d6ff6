"""Index files whose checksum is right and whose content is wrong: they are not used, and another is made."""

import json
import os
import struct
import zlib

import faiss
import numpy as np
import pytest

from samecar.retrieval.engine import FORMAT
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.folder.snapshot import _LINE, _MARK
from samecar.retrieval.records import Addition, GalleryFacts, Sighting, picture_content

SIZE = 8
FACTS = GalleryFacts(format=FORMAT, model="0123456789abcdef", size=SIZE, thumbnail=0, created="2026-01-01T00:00:00Z")


@pytest.fixture(params=["exact", "int8", "ivf"])
def folder(request, tmp_path):
    """A gallery of twelve sightings with an index file."""
    engine = FolderEngine.create(tmp_path / "yard", FACTS)
    engine.add(
        [
            Addition(Sighting(picture_content(b"%d" % row)), vector)
            for row, vector in enumerate(np.eye(12, SIZE, dtype=np.float32) + np.eye(12, SIZE, -8, dtype=np.float32))
        ]
    )
    engine.rebuild(request.param)
    engine.close()
    return tmp_path / "yard"


def replace_index(folder, content: bytes) -> None:
    """Puts another index before the line at the end, and mends length and checksum in it."""
    path = folder / "index.faiss"
    line = json.loads(path.read_bytes()[-_LINE + len(_MARK) :])
    line |= {"length": len(content), "checksum": zlib.crc32(content)}
    path.write_bytes(content + (_MARK + json.dumps(line).encode()).ljust(_LINE))


def other_index(content: bytes) -> bytes:
    index = faiss.IndexFlatIP(SIZE)
    index.add(np.eye(SIZE, dtype=np.float32))
    return faiss.serialize_index(index).tobytes()


def fewer_entries(content: bytes) -> bytes:
    index = faiss.deserialize_index(np.frombuffer(content, np.uint8))
    index.ntotal -= 1
    return faiss.serialize_index(index).tobytes()


def huge_number(content: bytes) -> bytes:
    return content[:-8] + struct.pack("<q", 1 << 40)


@pytest.mark.parametrize(
    "damage", [other_index, fewer_entries, huge_number, lambda content: content[: -len(content) // 2]]
)
def test_another_index_with_a_right_checksum_is_not_used(folder, damage):
    content = (folder / "index.faiss").read_bytes()[:-_LINE]
    engine = FolderEngine.open(folder)
    before = engine.search(np.eye(2, SIZE, dtype=np.float32), 3)
    engine.close()
    replace_index(folder, damage(content))
    engine = FolderEngine.open(folder)
    (finding,) = engine.check()
    assert finding.startswith(f"{folder / 'index.faiss'} ")
    assert engine.search(np.eye(2, SIZE, dtype=np.float32), 3) == before
    engine.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_the_place_of_the_index_is_not_waited_for(folder):
    (folder / "index.faiss").unlink()
    os.mkfifo(folder / "index.faiss")
    engine = FolderEngine.open(folder)
    assert "is damaged: it is no file" in engine.check()[0]
    engine.close()
