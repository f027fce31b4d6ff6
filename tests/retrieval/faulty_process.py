"""Processes that write to a gallery in a folder until something happens to them; run by `test_engine_faults.py`.

`add FOLDER` waits for lines on standard input. For each it forks a process, tells its number, and lets it open the
gallery, add, remove and close it, again and again, until it is killed. What was acknowledged is told line by line.

`fill FOLDER BYTES` adds until there is no space left, frees the space that a file of so many bytes takes, and adds on.

`limit FOLDER BYTES` adds until the system refuses to let a file grow over so many bytes, and adds on without a limit.

`hold FOLDER SECONDS` holds the lock of the writer for so long.

`read FOLDER` searches, looks for faults and tries to remove an entry.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from samecar.errors import SamecarError
from samecar.retrieval.folder.engine import FolderEngine
from samecar.retrieval.folder.library import faiss_module
from samecar.retrieval.folder.writing import WriterLock
from samecar.retrieval.records import Addition, GalleryFacts, Sighting

SIZE = 32
FACTS = GalleryFacts(format=1, model="0123456789abcdef", size=SIZE, thumbnail=64, created="2026-01-01T00:00:00Z")


def embedding(number: int) -> np.ndarray:
    """That of the sighting of a number."""
    vector = np.random.default_rng(number).standard_normal(SIZE)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def addition(number: int, thumbnail: int = 500) -> Addition:
    sighting = Sighting(f"{number:064d}", camera_id=f"camera {number % 3}", labels={"parity": str(number % 2)})
    return Addition(sighting, embedding(number), b"\xff\xd8\xff" + bytes(thumbnail))


def tell(**words: object) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def add(folder: Path) -> None:
    addition(0)
    faiss_module()  # loaded once, not in every process
    for line in sys.stdin:
        process = os.fork()
        if not process:
            add_for_ever(folder, int(line))
        tell(process=process)
        os.waitpid(process, 0)
        tell(ended=process)


def add_for_ever(folder: Path, number: int) -> None:
    random = np.random.default_rng(number)
    while True:
        engine = FolderEngine.open(folder)
        for _ in range(random.integers(1, 5)):
            numbers = list(range(number, number + int(random.integers(1, 6))))
            number = numbers[-1] + 1
            ids = engine.add([addition(each) for each in numbers])
            tell(added=dict(zip(ids, numbers, strict=True)))
            if random.random() < 0.2:
                tell(removing=ids[0])
                engine.remove(ids[:1])
                tell(removed=ids[0])
        engine.close()


def fill(folder: Path, size: int) -> None:
    ballast = folder.with_name("ballast")
    ballast.write_bytes(bytes(size))
    engine = FolderEngine.create(folder, FACTS)
    tell(**add_until_refused(engine))
    try:
        engine.rebuild("exact")
    except SamecarError as error:
        tell(rebuild=str(error))
    ballast.unlink()
    add_on(engine, folder)


def limit(folder: Path, size: int) -> None:
    engine = FolderEngine.create(folder, FACTS)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    tell(**add_until_refused(engine))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    add_on(engine, folder)


def add_until_refused(engine: FolderEngine) -> dict[str, object]:
    number = 0
    while True:
        try:
            engine.add([addition(each, thumbnail=5000) for each in range(number, number + 10)])
        except SamecarError as error:
            return {"added": number, "sentence": str(error), "pictures": engine.summary().pictures}
        number += 10


def add_on(engine: FolderEngine, folder: Path) -> None:
    before = engine.summary().pictures
    engine.add([addition(before)])
    engine.close()
    engine = FolderEngine.open(folder)
    given = np.array([embedding(number) for number in range(before + 1)])
    stored = engine.embeddings(range(1, before + 2))
    tell(pictures=engine.summary().pictures, stored=np.allclose(stored, given, atol=2**-11), faults=engine.check())


def hold(folder: Path, seconds: float) -> None:
    with WriterLock(folder / "writer.lock").held():
        tell(holding=os.getpid())
        time.sleep(seconds)


def read(folder: Path) -> None:
    engine = FolderEngine.open(folder)
    tell(found=engine.search(embedding(3)[None], 1)[0][0].id, faults=engine.check(), pictures=engine.summary().pictures)
    try:
        engine.remove([1])
    except SamecarError as error:
        tell(sentence=str(error))
    engine.close()


if __name__ == "__main__":
    work, folder, *numbers = sys.argv[1:]
    {"add": add, "fill": fill, "limit": limit, "hold": hold, "read": read}[work](Path(folder), *map(int, numbers))
