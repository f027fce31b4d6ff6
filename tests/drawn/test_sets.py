"""Whole drawn sets: their bytes, their lists, their twins, and what happens when drawing fails."""

import json
import re
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest

from drawncars import palette
from samecar.data.sources import veri776
from samecar.drawn import DrawnSet, draw_set, draw_twin, sets
from samecar.errors import SamecarError

SMALL = {"vehicles": 8, "cameras": 3, "pictures": 2, "size": 48}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnSet:
    return draw_set(tmp_path_factory.mktemp("drawn") / "set", **SMALL, workers=1)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """The lists of a set of three vehicles; the first query is not in the gallery, as happens in copies."""
    folder = tmp_path / "lists"
    folder.mkdir()
    train = ["0003_c001_00016450_0.jpg", "0003_c001_00016460_1.jpg", "0003_c020_00017000_0.jpg"]
    test = [
        "0010_c002_00030600_0.jpg",
        "0010_c002_00030605_1.jpg",
        "0010_c005_00084280_0.jpg",
        "0012_c002_00000000_0.jpg",
    ]
    query = ["0010_c005_00084290_0.jpg", "0010_c002_00030600_0.jpg", "0012_c002_00000000_0.jpg"]
    for split, names in (("train", train), ("query", query), ("test", test)):
        (folder / f"name_{split}.txt").write_text("".join(f"{name}\r\n" for name in names))
    items = "".join(
        f'<Item imageName="{name}" vehicleID="0003" cameraID="c001" colorID="5" typeID="0" />' for name in train
    )
    header = '<?xml version="1.0" encoding="gb2312" ?>\n<TrainingImages Version="1.0"><!-- 车 --><Items number="3">'
    (folder / "train_label_rebuilt.xml").write_bytes(f"{header}{items}</Items></TrainingImages>".encode("gb2312"))
    (folder / "gt_index.txt").write_text("1 2 \n3 \n\n")
    return folder


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_from_one_process_or_two(
    drawn: DrawnSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "_PICTURES_PER_PROCESS", 1)
    again = draw_set(tmp_path / "again", **SMALL, workers=2)
    assert digests(again.path) == digests(drawn.path)


def test_another_seed_gives_other_pictures(drawn: DrawnSet, tmp_path: Path) -> None:
    other = draw_set(tmp_path / "other", **SMALL, seed=2, workers=1)
    pictures = {digest for name, digest in digests(drawn.path).items() if name.endswith(".jpg")}
    others = {digest for name, digest in digests(other.path).items() if name.endswith(".jpg")}
    assert not pictures & others


def test_counts_lists_and_folders_agree(drawn: DrawnSet) -> None:
    counts = {"train": drawn.train, "query": drawn.query, "test": drawn.gallery}
    for split, count in counts.items():
        names = lines(drawn.path / f"name_{split}.txt")
        assert len(names) == count == len(set(names))
        assert names == sorted(path.name for path in (drawn.path / f"image_{split}").iterdir())
        assert all(re.fullmatch(r"\d{4}_c\d{3}_\d{8}_\d+\.jpg", name) for name in names)
    card = json.loads((drawn.path / "drawn.json").read_text())
    assert (card["seed"], card["size"], card["train"]) == (1, 48, drawn.train)


def test_train_and_test_share_no_vehicle_and_all_are_seen_by_two_cameras_several_times(drawn: DrawnSet) -> None:
    train, test = (lines(drawn.path / f"name_{split}.txt") for split in ("train", "test"))
    assert not {name[:4] for name in train} & {name[:4] for name in test}
    assert len({name[:4] for name in train + test}) == drawn.vehicles == SMALL["vehicles"]
    passages: dict[str, list[str]] = {}
    for name in train + test:
        passages.setdefault(name[:9], []).append(name)
    assert min(len(pictures) for pictures in passages.values()) >= 2
    cameras = [sum(passage[:4] == vehicle for passage in passages) for vehicle in {name[:4] for name in train + test}]
    assert min(cameras) >= 2


def test_each_query_is_a_copy_of_a_picture_of_the_gallery_one_for_each_vehicle_and_camera(drawn: DrawnSet) -> None:
    query, test = (lines(drawn.path / f"name_{split}.txt") for split in ("query", "test"))
    assert sorted(name[:9] for name in query) == sorted({name[:9] for name in test})
    for name in query:
        assert (drawn.path / "image_query" / name).read_bytes() == (drawn.path / "image_test" / name).read_bytes()


def test_right_and_passed_over_rows_follow_from_the_names(drawn: DrawnSet) -> None:
    gallery = sorted(lines(drawn.path / "name_test.txt"))
    right, passed_over = lines(drawn.path / "gt_index.txt"), lines(drawn.path / "jk_index.txt")
    for position, query in enumerate(lines(drawn.path / "name_query.txt")):
        same = {row for row, name in enumerate(gallery, start=1) if name[:4] == query[:4]}
        here = {row for row, name in enumerate(gallery, start=1) if name[:9] == query[:9]}
        assert {int(row) for row in right[position].split()} == same - here
        assert {int(row) for row in passed_over[position].split()} == here


def test_labels_and_tracks(drawn: DrawnSet) -> None:
    for split in ("train", "test"):
        text = (drawn.path / f"{split}_label.xml").read_text(encoding="gb2312")
        assert text.startswith('<?xml version="1.0" encoding="gb2312" ?>')
        items = list(ElementTree.fromstring(text.split("?>", 1)[1]).iter("Item"))
        assert [item.attrib["imageName"] for item in items] == lines(drawn.path / f"name_{split}.txt")
        for item in items:
            assert item.attrib["imageName"].startswith(f"{item.attrib['vehicleID']}_{item.attrib['cameraID']}_")
            assert 1 <= int(item.attrib["colorID"]) <= 10
            assert 1 <= int(item.attrib["typeID"]) <= 9
    tracks = [line.split() for line in lines(drawn.path / "test_track.txt")]
    assert all(track[0] == track[1] for track in tracks)
    assert sorted(name for track in tracks for name in track[1:]) == sorted(lines(drawn.path / "name_test.txt"))


def test_the_renderer_has_the_colours_and_types_of_veri_776_in_their_order() -> None:
    assert palette.COLOURS == veri776.COLOURS
    assert palette.TYPES == veri776.TYPES


def test_several_vehicles_share_type_and_colour() -> None:
    looks = list(sets._plan(60, 6, 4, seed=1).looks.values())
    assert len(looks) == 60
    assert sum(looks.count(look) > 1 for look in looks) >= 20
    assert {look.type for look in looks} == set(range(1, 10))


def test_the_number_of_pictures_is_the_mean_asked_for() -> None:
    plan = sets._plan(80, 6, 5, seed=3)
    passages = {name[:9] for name in plan.train + plan.gallery}
    assert len(plan.train + plan.gallery) / len(passages) == pytest.approx(5, abs=0.2)


def test_a_single_picture_for_each_passage() -> None:
    plan = sets._plan(6, 2, 1, seed=3)
    assert len(plan.train + plan.gallery) == len({name[:9] for name in plan.train + plan.gallery}) == 12


def test_a_twin_has_the_same_names_lists_and_copies(lists: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    twin = draw_twin(
        lists, tmp_path / "twin", size=48, workers=1, progress=lambda done, total: seen.append((done, total))
    )
    assert (twin.train, twin.query, twin.gallery, twin.vehicles) == (3, 3, 4, 3)
    assert seen[-1] == (10, 10)
    for split in ("train", "query", "test"):
        names = (lists / f"name_{split}.txt").read_text().split()
        assert sorted(names) == sorted(path.name for path in (twin.path / f"image_{split}").iterdir())
        assert (twin.path / f"name_{split}.txt").read_bytes() == (lists / f"name_{split}.txt").read_bytes()
    assert (twin.path / "gt_index.txt").read_bytes() == (lists / "gt_index.txt").read_bytes()
    assert (twin.path / "train_label.xml").read_bytes() == (lists / "train_label_rebuilt.xml").read_bytes()
    assert (twin.path / "jk_index.txt").is_file()
    for name in ("0010_c002_00030600_0.jpg", "0012_c002_00000000_0.jpg"):
        assert (twin.path / "image_query" / name).read_bytes() == (twin.path / "image_test" / name).read_bytes()


def test_a_twin_takes_colours_from_the_labels_and_fills_in_what_they_leave_open(lists: Path) -> None:
    tasks = sets._tasks(sets.read_lists(lists), size=48, seed=1)
    colours = {request.vehicle: request.colour for task in tasks for request in task.requests}
    kinds = {
        request.vehicle: {request.type for request in task.requests} for task in tasks for request in task.requests
    }
    assert colours[3] == "red"
    assert all(len(kind) == 1 for kind in kinds.values())
    assert tasks == sets._tasks(sets.read_lists(lists), size=48, seed=1)


@pytest.mark.parametrize(
    ("option", "value"),
    [("vehicles", 3), ("cameras", 1), ("pictures", 0), ("size", 31), ("size", 1025), ("workers", 0), ("seed", -1)],
)
def test_a_number_out_of_range_is_named(tmp_path: Path, option: str, value: int) -> None:
    with pytest.raises(SamecarError, match=rf"{option} is {value}; choose a number from \d+"):
        draw_set(tmp_path / "set", **{**SMALL, option: value})
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SamecarError, match="not empty"):
        draw_set(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    drawn = draw_set(tmp_path / "set", vehicles=4, cameras=2, pictures=1, size=32, workers=1)
    assert len(list((drawn.path / "image_train").iterdir())) == drawn.train


def test_bad_lists_are_refused_in_one_sentence(lists: Path, tmp_path: Path) -> None:
    with pytest.raises(SamecarError, match="There is no folder"):
        draw_twin(tmp_path / "nowhere", tmp_path / "twin")
    (lists / "name_query.txt").write_text("0010_c002_00030600_0.jpg\nholiday.png\n")
    with pytest.raises(SamecarError, match=r"holiday\.png.*0001_c001_00016450_0\.jpg"):
        draw_twin(lists, tmp_path / "twin")
    (lists / "name_query.txt").write_text("0010_c002_00030600_0.jpg\n0010_c002_00030600_0.jpg\n")
    with pytest.raises(SamecarError, match="twice"):
        draw_twin(lists, tmp_path / "twin")
    (lists / "name_query.txt").write_text(
        "0010_c002_0003060\u0663_0.jpg\n", encoding="utf-8"
    )  # a digit of another script
    with pytest.raises(SamecarError, match=r"name_query\.txt holds the name"):
        draw_twin(lists, tmp_path / "twin")
    (lists / "name_query.txt").write_bytes(b"\xff\xfe\n")
    with pytest.raises(SamecarError, match=r"name_query\.txt cannot be read as text"):
        draw_twin(lists, tmp_path / "twin")
    (lists / "name_query.txt").write_text("\n")
    with pytest.raises(SamecarError, match="empty"):
        draw_twin(lists, tmp_path / "twin")
    (lists / "name_query.txt").unlink()
    with pytest.raises(SamecarError, match=r"no name_query\.txt"):
        draw_twin(lists, tmp_path / "twin")


@pytest.mark.parametrize(
    "labels",
    [
        "<TrainingImages><Items>",
        '<a><Item vehicleID="0003" colorID="11" typeID="1"/></a>',
        '<!DOCTYPE a [<!ENTITY b "c">]><a/>',
    ],
)
def test_bad_labels_are_refused(lists: Path, tmp_path: Path, labels: str) -> None:
    (lists / "train_label_rebuilt.xml").write_text(labels)
    with pytest.raises(SamecarError, match=r"train_label_rebuilt\.xml"):
        draw_twin(lists, tmp_path / "twin")
    assert [path.name for path in tmp_path.iterdir()] == ["lists"]


@pytest.mark.slow
def test_nothing_is_left_behind_when_processes_are_stopped_half_way(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert 0 < done < total
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_set(tmp_path / "set", vehicles=24, cameras=3, pictures=3, size=32, workers=2, progress=stop)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(request: sets.Request) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sets, "draw_picture", full)
    with pytest.raises(SamecarError, match="No space left"):
        draw_set(tmp_path / "set", **SMALL, workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_behind_when_drawing_fails_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    draw, calls = sets.draw_picture, []

    def draw_some(request: sets.Request) -> bytes:
        calls.append(request)
        if len(calls) > 3:
            raise failure("half way")
        return draw(request)

    monkeypatch.setattr(sets, "draw_picture", draw_some)
    with pytest.raises(failure):
        draw_set(tmp_path / "set", **SMALL, workers=1)
    assert len(calls) == 4
    assert not list(tmp_path.iterdir())
