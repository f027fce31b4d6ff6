"""Hostile lines for whatever reads text: each is accepted or refused by a `SamecarError`, within a time."""

import random
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from samecar.config import load_recipe
from samecar.data.boxes.coco import read_coco
from samecar.data.boxes.cvat import read_cvat
from samecar.data.boxes.mot import read_mot
from samecar.data.manifest import Manifest
from samecar.data.sources.opening import open_source
from samecar.data.sources.plain_list import plain_list
from samecar.errors import SamecarError
from samecar.numerals import read_number, read_whole_number
from samecar.progress import Progress
from samecar.retrieval.incoming import incoming_of_lines
from samecar.retrieval.times import parse_recorded_time, parse_time
from trials.mutating import mutate
from trials.portions import try_inputs
from trials.record import Record

SIGNS = b"\0 \n \r \t , ; | \" ' ''' \\ / # = : - . { } [ ] * ** < > {} &amp; &x; <![CDATA[ %s $(id) `id`".split(b" ")
NO_UTF8 = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff\0")
LETTERS = ("\u202e", "\u200b", "\u2028", "\x85", "e\u0301", "\u0663", "\uff11", "\U0001f697", "ß", " ")
NUMBERS = [*b"nan inf -inf 1e999 -0 1_000 0x10 1e-400 1e15".split(), b"9" * 400, b"9" * 5000, b"1." + b"0" * 999]
WORDS = b"true null None -1 unknown =1+1 @SUM(1) sep=, path vehicle_id split {vehicle_id} {camera_id} {time}_*".split()
LONG = (b"[" * 2000, b'{"a":' * 2000, b"a." * 500 + b"a", b"*_" * 12)
TIMES = b"9999-12-31 0001-01-01 2024-02-30 T24:00 +99:99 20240501 1969 Z".split()
PIECES = (*SIGNS, *NO_UTF8, *map(str.encode, LETTERS), *NUMBERS, *WORDS, *LONG, *TIMES)
"""What programs that read text stumble over."""

BOXES = b'{"images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}], "annotations": [%s]}'
CVAT = b'<annotations><meta/><image id="0" name="a.jpg" width="64" height="48">%s</image></annotations>'
NAMES = ("0001_c001_01.jpg", "0001_c002_02.jpg", "0002_c001_03.jpg", "0002_c002_04.png", "car-7/c1-20240501_120000.jpg")

Reader = Callable[[bytes, Path], object]
"""Reads a line, in a folder of its own."""


def _read_file(name: str, read: Callable[[Path], object], form: bytes, line: bytes, place: Path) -> object:
    path = place / name
    path.write_bytes(form.replace(b"%s", line))
    return read(path)


def _file(name: str, read: Callable[[Path], object], form: bytes = b"%s") -> Reader:
    return partial(_read_file, name, read, form)


def _text(line: bytes) -> str:
    """A text as the system hands it to a command."""
    return line.decode(errors="surrogateescape")


def _incoming(line: bytes, _: Path) -> object:
    lines = line.decode(errors="surrogateescape").splitlines(keepends=True)
    return list(incoming_of_lines(lines))


def _numbers(line: bytes, _: Path) -> object:
    found = []
    for read in (read_number, read_whole_number):
        try:
            found.append(read(_text(line)))
        except ValueError:  # as they say; who asks them makes a sentence of it
            continue
    if not found:
        raise SamecarError("no number")
    return found


def _folder(line: bytes, place: Path) -> object:
    pattern = _text(line.replace(b"..", b"."))  # it must not lead out of the trial's own folder
    return open_source(f"folder:{place}/names/{pattern}")


MANIFEST = b"path,vehicle_id,camera_id,split\na.jpg,1,c1,train\n"
READERS: dict[str, tuple[Reader, tuple[bytes, ...]]] = {
    "rows of manifests": (
        _file("rows.csv", Manifest.read, MANIFEST + b"%s"),
        (b"b.jpg,2,c2,query", b'"c,d.jpg", 3 ,"c""3",gallery', b"b.jpg;2;c2;query", b"../d.jpg,-1,,train\n\n"),
    ),
    "headers of manifests": (
        _file("headers.csv", Manifest.read, b"%s\na.jpg,1,c1,train\nb.jpg,2,c2,query\n"),
        (
            b"path,vehicle_id,camera_id,split",
            b"Path ; Vehicle ID;camera-id;SPLIT",
            b"sep=;\npath;vehicle_id;camera_id;split",
        ),
    ),
    "lists": (
        _file("list.txt", plain_list),
        (b"crops/0001.jpg 17 cam2\nb.jpg 18 cam1", b"a b.jpg\t17\tcam2\tquery", b"a.jpg 1"),
    ),
    "recipes": (
        _file("recipe.toml", load_recipe, b'base = "demo"\n%s\n'),
        (
            b"[training]\nepochs = 3",
            b'[model]\nbackbone = "resnet18"',
            b"loss.triplet = 0.5",
            b"[schedule]\nmilestones = [1, 2]",
        ),
    ),
    "changes of recipes": (
        lambda line, _: load_recipe("demo", [_text(line)]),
        (
            b"training.epochs=3",
            b"schedule.milestones=[2, 3]",
            b"model.backbone=resnet18",
            b"optimizer.learning_rate=1e-3",
        ),
    ),
    "times": (
        lambda line, _: (parse_time(_text(line)), parse_recorded_time(_text(line))),
        (b"2024-05-01T12:30:00+02:00", b"20240501_123000", b"1714567890.5", b"2024_05_01_12_30_00", b"2024-W18-3"),
    ),
    "numbers": (_numbers, (b"17", b"-0.25", b"1e-3", b"+1.5", b" 42 ")),
    "patterns of names": (
        _folder,
        (
            b"{vehicle_id}_{camera_id}_*.jpg",
            b"**/{camera_id}-{time}.jpg",
            b"{vehicle_id}_*_*.*",
            b"{vehicle_id}/{camera_id}-*.jpg",
        ),
    ),
    "boxes, MOTChallenge": (
        _file("gt.txt", read_mot),
        (b"1,7,912,484,97,109,1,3", b"1 7 1 2 3 4", b"2,-1,0.5,1,3,4,0,-1,0.3"),
    ),
    "boxes, COCO": (
        _file("boxes.json", read_coco, BOXES),
        (b'{"image_id": 1, "bbox": [1, 2, 3, 4], "vehicle_id": "7", "attributes": {"camera_id": "c1"}}',),
    ),
    "boxes, CVAT": (
        _file("boxes.xml", read_cvat, CVAT),
        (b'<box label="car" xtl="1" ytl="2" xbr="3" ybr="4"><attribute name="vehicle_id">7</attribute></box>',),
    ),
    "standard input": (
        _incoming,
        (
            b"/crops/a.jpg",
            b'{"path": "a.jpg", "time": 5, "labels": {"lane": "2"}}',
            b"path;camera_id;label:lane\na.jpg;c1;2",
        ),
    ),
}
"""What reads a line, and good ones that are made hostile."""

TURNS = [name for name in READERS for _ in range({"times": 6, "numbers": 4, "standard input": 3}.get(name, 1))]
"""Whose turn it is; those that are quick come more often."""


def hostile(seed: int, number: int) -> bytes:
    """The hostile line of a number."""
    generator = random.Random(f"lines {seed} {number}")
    _, good = READERS[_reader(number)]
    line = generator.choice(good)
    for _ in range(generator.choice((0, 1, 1, 2, 3))):
        place = generator.randint(0, len(line))
        cut = generator.choice((0, 0, 1, 4))
        line = line[:place] + generator.choice(PIECES) + line[place + cut :]
    return mutate(line, generator) if generator.random() < 0.5 else line


def attempt(seed: int, place: Path, number: int) -> str:
    """Has one read."""
    name = _reader(number)
    try:
        READERS[name][0](hostile(seed, number), place)
    except SamecarError:
        return f"{name}: refused"
    return f"{name}: accepted"


def run(record: Record, size: int, progress: Progress) -> None:
    """Tries so many hostile lines."""
    seed = record.found["seed"]
    with tempfile.TemporaryDirectory(prefix="samecar-lines-") as place:
        for name in NAMES:
            path = Path(place) / "names" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        attempts = partial(attempt, seed, Path(place))
        try_inputs(attempts, record, size, progress, lambda number: ascii(hostile(seed, number))[:1000])


def _reader(number: int) -> str:
    return TURNS[number % len(TURNS)]
