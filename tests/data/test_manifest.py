import csv
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.data import COLUMNS, Manifest
from samecar.errors import SamecarError


def manifest_of(*rows, root="pictures", **options):
    names = ("path", "vehicle_id", "camera_id", "split", "colour")
    return Manifest.from_rows(Path(root), [dict(zip(names, row, strict=False)) for row in rows], **options)


THREE = (
    ("a.jpg", "v1", "c1", "train", "red"),
    ("b.jpg", "v2", "c1", "query", ""),
    ("c.jpg", "v2", "c2", "gallery", "blue"),
)


def test_columns_are_texts_of_one_length_and_unknown_ones_are_empty():
    manifest = manifest_of(*THREE)
    assert len(manifest) == 3
    assert manifest.rows(("path", "colour", "view")) == [("a.jpg", "red", ""), ("b.jpg", "", ""), ("c.jpg", "blue", "")]
    assert all(manifest.column(name).shape == (3,) for name in COLUMNS)
    assert manifest.source == "csv"


def test_columns_are_copies_that_cannot_be_written_to():
    path = np.array(["a.jpg"])
    manifest = Manifest(Path(), path, np.array(["v"]), np.array(["c"]), np.array(["train"]))
    path[0] = "b.jpg"
    assert manifest.path[0] == "a.jpg"
    with pytest.raises(ValueError, match="read-only"):
        manifest.path[0] = "x"


def test_select_takes_masks_and_row_numbers_in_order():
    manifest = manifest_of(*THREE, source="veri776", warnings=("odd",))
    assert manifest.select([2, 0]).path.tolist() == ["c.jpg", "a.jpg"]
    assert manifest.select(np.array([True, False, True])).path.tolist() == ["a.jpg", "c.jpg"]
    assert len(manifest.select([])) == 0
    assert manifest.select([1]).source == "veri776"
    assert manifest.select([1]).warnings == ("odd",)


def test_splits_are_counted_and_chosen():
    manifest = manifest_of(*THREE)
    assert manifest.split_counts == {"train": 1, "query": 1, "gallery": 1}
    assert manifest.of_split("gallery").path.tolist() == ["c.jpg"]
    with pytest.raises(SamecarError, match="unknown split 'test'; known are train, query, gallery"):
        manifest.of_split("test")


def test_absolute_path_is_below_the_root_unless_absolute():
    manifest = manifest_of(("sub/a.jpg", "", "", "train"), ("/else/b.jpg", "", "", "train"), root="/data")
    assert manifest.absolute_path(0) == Path("/data/sub/a.jpg")
    assert manifest.absolute_path(1) == Path("/else/b.jpg")


@given(st.permutations(THREE))
def test_digest_does_not_depend_on_order_or_root(rows):
    assert manifest_of(*rows, root="elsewhere").digest == manifest_of(*THREE).digest


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "split"])
def test_digest_depends_on_every_column(column):
    rows = [{"path": "a.jpg", "vehicle_id": "v", "camera_id": "c", "split": "train"}]
    changed = [rows[0] | {column: "other"}]
    assert Manifest.from_rows(Path(), rows).digest != Manifest.from_rows(Path(), changed).digest


def test_a_picture_may_be_query_and_gallery_but_not_twice_in_one():
    manifest_of(("a.jpg", "v", "c", "query"), ("a.jpg", "v", "c", "gallery"))
    with pytest.raises(SamecarError, match=r"picture 'a.jpg' stands twice in split query; remove one of its rows"):
        manifest_of(("a.jpg", "v", "c", "query"), ("a.jpg", "w", "c", "query"))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (("", "v", "c", "train"), "path in row 1 is empty"),
        (("a.jpg", "v", "c", "test"), "split of picture 'a.jpg' is 'test'; it must be one of train, query, gallery"),
        (("a.jpg", "v", "c", ""), "split of picture 'a.jpg' is ''"),
        (("a.jpg", "v", "c"), "row 1 lacks the column 'split'"),
    ],
)
def test_wrong_rows_are_refused(row, sentence):
    with pytest.raises(SamecarError, match=sentence):
        manifest_of(row)


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(SamecarError, match=r"column camera_id has shape \(2,\); it must be \(1,\), as path is"):
        Manifest(Path(), np.array(["a"]), np.array(["v"]), np.array(["c", "c"]), np.array(["train"]))


def test_concatenate_joins_manifests_of_one_root():
    whole = manifest_of(*THREE)
    parts = [whole.of_split(split) for split in ("query", "train", "gallery")]
    assert Manifest.concatenate(parts).digest == whole.digest
    with pytest.raises(SamecarError, match="different folders"):
        Manifest.concatenate([whole, manifest_of(THREE[0], root="other")])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    manifest = manifest_of(*THREE, ('sub/d, "e"\n ü.jpg', " v ", "", "train", "é"), root=str(tmp_path))
    manifest.write(tmp_path / f"set{suffix}")
    again = Manifest.read(tmp_path / f"set{suffix}")
    assert again.digest == manifest.digest
    assert again.root == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == [f"set{suffix}"]


def test_what_was_read_from_a_table_is_called_by_it(tmp_path):
    """Several tables of one folder are told apart, and are the same data where they list the same."""
    manifest = manifest_of(*THREE, root=tmp_path)
    assert manifest.name == f"csv:{tmp_path.name}"
    for name in ("split.csv", "other.parquet"):
        manifest.write(tmp_path / name)
        again = Manifest.read(tmp_path / name)
        assert again.name == again.of_split("train").name == f"csv:{name}"
        assert again.digest == manifest.digest


def test_written_paths_are_relative_to_the_file_where_they_lie_below_it(tmp_path):
    manifest = manifest_of(("a.jpg", "v", "c", "train"), ("../out/b.jpg", "v", "c", "train"), root=tmp_path / "set")
    manifest.write(tmp_path / "set" / "set.csv")
    paths = Manifest.read(tmp_path / "set" / "set.csv").path.tolist()
    assert paths == ["a.jpg", (tmp_path / "out" / "b.jpg").as_posix()]
    manifest.write(tmp_path / "all.csv")
    assert Manifest.read(tmp_path / "all.csv").path.tolist() == ["set/a.jpg", "out/b.jpg"]


def test_a_relative_root_is_written_as_the_same_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest_of(("a.jpg", "v", "c", "train"), root="crops").write(Path("tables/set.csv"))
    assert Manifest.read(Path("tables/set.csv")).absolute_path(0) == tmp_path / "crops" / "a.jpg"


def test_optional_columns_without_a_value_are_not_written(tmp_path):
    manifest_of(*THREE, root=tmp_path).write(tmp_path / "set.csv")
    with (tmp_path / "set.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "vehicle_id", "camera_id", "split", "colour"]


def test_numbers_and_gaps_in_parquet_become_texts(tmp_path):
    columns = {"path": ["a.jpg", "b.jpg"], "vehicle_id": [7, 12], "camera_id": ["c1", None], "split": ["train"] * 2}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "set.parquet")
    manifest = Manifest.read(tmp_path / "set.parquet")
    assert manifest.rows(("vehicle_id", "camera_id")) == [("7", "c1"), ("12", "")]


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path):
    (tmp_path / "set.csv").write_bytes("\ufeffpath,vehicle_id,camera_id,split\n\na.jpg,v,c,train\n\n".encode())
    assert Manifest.read(tmp_path / "set.csv").path.tolist() == ["a.jpg"]


HEADER = "path,vehicle_id,camera_id,split"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "lacks the column 'path'; required are path, vehicle_id, camera_id, split"),
        (HEADER, "lists no pictures"),
        ("path,vehicle_id,split\na,b,train", "lacks the column 'camera_id'"),
        (f"{HEADER},color\na,b,c,train,red", r"unknown column 'color'; did you mean 'colour'\?"),
        (
            f"{HEADER},make\na,b,c,train,red",
            "unknown column 'make'; known are path, .*; rename it or leave it out",
        ),
        (f"{HEADER}\na,b,c", "line 2, has 3 values; the header names 4"),
        (f"{HEADER},path\na,b,c,train,a", "names a column twice"),
        (f"{HEADER}\na,b,c,test", r"set.csv: split of picture 'a' is 'test'"),
        (f'{HEADER}\n"a,b,c,train', "is not a CSV file in UTF-8"),
        (b"\xff\xfe\x00", "is not a CSV file in UTF-8"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, content, sentence):
    path = tmp_path / "set.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SamecarError, match=sentence):
        Manifest.read(path)


def test_files_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(SamecarError, match=r"is not there; give the path of a .csv or .parquet file"):
        Manifest.read(tmp_path / "none.csv")
    with pytest.raises(SamecarError, match=r"ends in '.txt'; it must end in .csv or .parquet"):
        Manifest.read(tmp_path / "set.txt")
    (tmp_path / "set.parquet").write_text("no")
    with pytest.raises(SamecarError, match="is not a Parquet file"):
        Manifest.read(tmp_path / "set.parquet")
    (tmp_path / "set.csv").mkdir()
    with pytest.raises(SamecarError, match=r"set.csv cannot be written"):
        manifest_of(*THREE).write(tmp_path / "set.csv")


def test_without_pyarrow_parquet_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SamecarError, match=r'needs pyarrow, .* run `pip install "\.\[parquet\]"`'):
        manifest_of(*THREE).write(tmp_path / "set.parquet")
    assert not list(tmp_path.iterdir())


text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8)


@given(st.lists(st.tuples(text.filter(bool), text, text, st.sampled_from(["train", "query"])), min_size=1, max_size=5))
def test_any_text_survives_a_csv(tmp_path_factory, rows):
    rows = [(f"p/{number}{path.replace('/', '_')}x", *rest) for number, (path, *rest) in enumerate(rows)]
    root = tmp_path_factory.mktemp("table")
    manifest_of(*rows, root=root).write(root / "set.csv")
    assert Manifest.read(root / "set.csv").digest == manifest_of(*rows).digest
