import pytest
from command_line import done, refused, tiny

from samecar.data import Manifest, join_sets, open_source
from samecar.errors import SamecarError

TRAIN = {"camera_id": "", "split": "train"}
COLUMNS = ("path", "vehicle_id", "camera_id", "track_id", "split")


@pytest.fixture
def sets(tmp_path):
    """Two sets that call different vehicles and cameras alike."""
    (tmp_path / "town").mkdir()
    (tmp_path / "town" / "train.txt").write_text("a.jpg 1 cam1\nb.jpg 2 cam2\n")
    (tmp_path / "port" / "data").mkdir(parents=True)
    (tmp_path / "port" / "data" / "set.csv").write_text(
        "path,vehicle_id,camera_id,split,track_id,colour\na.jpg,1,cam1,train,t1,red\n/far/b.jpg,,,gallery,,\n"
    )
    return [f"list:{tmp_path}/town", f"csv:{tmp_path}/port/data/set.csv"]


def test_vehicles_cameras_and_tracks_of_two_sets_are_kept_apart(sets, tmp_path):
    joined = join_sets(sets)
    assert joined.rows(COLUMNS) == [
        ("town/a.jpg", "town/1", "town/cam1", "", "train"),
        ("town/b.jpg", "town/2", "town/cam2", "", "train"),
        ("port/data/a.jpg", "set/1", "set/cam1", "set/t1", "train"),
        ("/far/b.jpg", "", "", "", "gallery"),
    ]
    assert (joined.root, joined.source, joined.colour.tolist()) == (tmp_path, "joined", ["", "", "red", ""])


def test_placeholders_stay_what_they_are(sets, tmp_path):
    (tmp_path / "town" / "train.txt").write_text("a.jpg -1 cam1\nb.jpg unknown cam2\n")
    joined = join_sets(sets)
    assert joined.vehicle_id.tolist() == ["-1", "unknown", "set/1", ""]
    assert joined.vehicle_count == 1


def test_names_that_mean_the_same_in_all_sets_stay(sets):
    joined = join_sets(sets, same_vehicles=True)
    assert joined.vehicle_id.tolist() == ["1", "2", "1", ""]
    assert joined.camera_id.tolist() == ["cam1", "cam2", "cam1", ""]


def test_names_that_mean_the_same_and_are_spelled_otherwise_are_a_warning(sets, tmp_path):
    (tmp_path / "town" / "train.txt").write_text("a.jpg 1 Cam1\nb.jpg 2 cam2\n")
    assert join_sets(sets).warnings == ()
    (warning,) = join_sets(sets, same_vehicles=True).warnings
    assert "cameras are probably spelled in several ways" in warning


def test_sets_of_one_name_are_numbered(sets, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "set.csv").write_text("path,vehicle_id,camera_id,split\nc.jpg,1,,train\n")
    joined = join_sets([sets[1], f"csv:{tmp_path}/other/set.csv", sets[0]])
    assert set(joined.vehicle_id.tolist()) == {"set/1", "", "set-2/1", "town/1", "town/2"}
    above = Manifest.from_rows(tmp_path / "town" / "..", [{"path": "d.jpg", "vehicle_id": "1", **TRAIN}])
    assert join_sets([above, joined]).vehicle_id[0] == f"{tmp_path.name}/1"


def test_the_sets_are_not_changed_and_their_warnings_name_them(sets):
    first = open_source(sets[0])
    second = Manifest.from_rows(
        first.root / "more", [dict.fromkeys(COLUMNS, "x") | {"split": "train"}], warnings=("odd",)
    )
    before = first.digest
    assert join_sets([first, second]).warnings == ("csv:more: odd",)
    assert first.digest == before


def test_what_cannot_be_joined_is_refused(sets):
    with pytest.raises(SamecarError, match="number of sets to join is 1; give two or more"):
        join_sets(sets[:1])
    with pytest.raises(SamecarError, match=r"list:town, list:town share pictures: picture 'a.jpg' stands twice"):
        join_sets([sets[0], sets[0]])


def test_the_command_writes_a_manifest(sets, tmp_path):
    out = tmp_path / "new" / "both.csv"
    assert done("data", "join", *sets, "-o", out) == f"{out}: 4 pictures of 3 vehicles. Use it as csv:{out}\n"
    written = open_source(f"csv:{out}")
    assert written.vehicle_id.tolist() == ["town/1", "town/2", "set/1", ""]
    assert written.absolute_path(0) == tmp_path / "town" / "a.jpg"
    again = ("data", "join", *sets, "-o", out, "--same-vehicles")
    assert "both.csv is there already and holds something else; choose another name" in refused(*again)
    done(*again, "--overwrite")
    assert open_source(f"csv:{out}").vehicle_id.tolist() == ["1", "2", "1", ""]
    assert refused("data", "join", sets[0], "-o", out) == "number of sets to join is 1; give two or more"


def test_training_takes_several_sources_and_keeps_their_vehicles_apart(tmp_path):
    for name in ("town", "port"):
        lines = [f"{vehicle}_{camera}.jpg {vehicle} {camera}" for vehicle in range(3) for camera in range(2)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    sets = [part for name in ("town", "port") for part in ("--data", f"list:{tmp_path}/{name}.txt")]
    sentence = refused("train", "report-baseline", *sets, "--out", tmp_path / "run", *tiny("batch.size=16"))
    assert sentence.startswith("list:town.txt, list:port.txt share pictures: picture '0_0.jpg' stands twice")
    (tmp_path / "other").mkdir()
    (tmp_path / "port.txt").rename(tmp_path / "other" / "port.txt")
    sets[3] = f"list:{tmp_path}/other/port.txt"
    sentence = refused("train", "report-baseline", *sets, "--out", tmp_path / "run", *tiny("batch.size=16"))
    assert "needs 8 vehicles, but only 6 are there" in sentence
