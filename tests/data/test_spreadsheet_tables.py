"""Tables as spreadsheets and other programs write them; what is right is the table that was written plainly."""

import csv
import io

import pyarrow
import pyarrow.parquet
import pytest
from conftest import paint_picture

from samecar.data import Manifest, check
from samecar.errors import SamecarError

HEADER = ["path", "vehicle_id", "camera_id", "split"]
ROWS = [
    [f"img/car_{vehicle}_cam{camera}.png", f"{vehicle:04d}", f"cam{camera}", "query" if camera == 1 else "gallery"]
    for vehicle in range(3)
    for camera in (1, 2)
]


@pytest.fixture
def folder(tmp_path):
    for row in ROWS:
        (tmp_path / row[0]).parent.mkdir(exist_ok=True)
        (tmp_path / row[0]).write_bytes(row[0].encode())
    return tmp_path


def write(folder, sign=",", encoding="utf-8", header=HEADER, rows=ROWS, before="", after=""):
    lines = [sign.join(row) for row in (header, *rows)]
    (folder / "set.csv").write_bytes((before + "\r\n".join(lines) + "\r\n" + after).encode(encoding))
    return Manifest.read(folder / "set.csv")


def plain(folder, number=""):
    return Manifest.from_rows(folder, [dict(zip(HEADER, row, strict=True)) for row in ROWS])


@pytest.mark.parametrize(
    "how",
    [
        {"sign": ";", "encoding": "utf-8-sig"},
        {"sign": "\t", "encoding": "utf-16"},
        {"sign": "|"},
        {"encoding": "utf-32"},
        {"sign": ";", "before": "sep=;\r\n"},
        {"sign": "~", "before": "sep=~\r\n"},
        {"header": ["Path", "Vehicle_ID", "CAMERA ID", " split "]},
        {"header": ["path", "vehicle-id", "camera_id", "split"], "before": "\r\n"},
        {"sign": ", "},
        {"sign": " ; "},
        {"after": ",,,\r\n , ,,\r\n\r\n"},
        {"header": [*HEADER, "", ""], "rows": [[*row, "", ""] for row in ROWS]},
        {"rows": [[*row, "", " "] for row in ROWS]},
        {"rows": [[*row[:3], row[3].title()] for row in ROWS]},
        {"rows": [[row[0].replace("/", "\\"), *row[1:]] for row in ROWS]},
        {"rows": [[f"  {row[0]} ", f"{row[1]}\u00a0", f" {row[2]}", f"{row[3]}\t"] for row in ROWS]},
        {"sign": ", ", "rows": [[f'"{value}"' for value in row] for row in ROWS]},
    ],
    ids=str,
)
def test_a_table_is_read_however_it_was_written(folder, how):
    manifest = write(folder, **how)
    assert manifest.rows() == plain(folder).rows()
    assert manifest.warnings == ()


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "__index_level_0__"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_numbers_the_rows_is_left_out_with_a_word(folder, name, first):
    rows = [[str(first + number), *row] for number, row in enumerate(ROWS)]
    manifest = write(folder, header=[name, *HEADER], rows=rows)
    assert manifest.rows() == plain(folder).rows()
    (warning,) = manifest.warnings
    assert warning.endswith("only numbers the rows and is left out")
    assert warning.startswith("column 1")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"path,vehicle_id,camera_id,split,\na,v,c,train,7\n", "column 5, which has no name; name it or leave it out"),
        (b"path,vehicle_id,camera_id,split,index\na,v,c,train,7\n", "unknown column 'index'; known are .*leave it out"),
        (b"path,vehicle,camera_id,split\na,v,c,train\n", r"unknown column 'vehicle'; did you mean 'vehicle_id'\?"),
        (b"Path,path,vehicle_id,camera_id,split\na,b,v,c,train\n", "names a column twice: path, path"),
        ("path,vehicle_id,camera_id,split\nü.jpg,v,c,train\n".encode("cp1252"), "not a CSV file in UTF-8.*save it as"),
        ("path,vehicle_id,camera_id,split\n".encode("utf-16-le"), "holds null bytes; save it as CSV UTF-8"),
        (b"path;vehicle_id;camera_id;split\na;v;c\n", "line 2, has 3 values; the header names 4"),
        (b"sep=;\n\npath;vehicle_id;camera_id;split\na;v;c;train\nb;v;c;train;x\n", "line 5, has 5 values"),
        (b"path,vehicle_id,camera_id,split\n,,,\n", "lists no pictures"),
        (b"\n \n", "lacks the column 'path'"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_to_change(tmp_path, content, sentence):
    (tmp_path / "set.csv").write_bytes(content)
    with pytest.raises(SamecarError, match=sentence):
        Manifest.read(tmp_path / "set.csv")


def test_a_file_of_exactly_the_written_name_comes_first(tmp_path):
    for name in ("a.jpg", " a.jpg", "b\\c.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.jpg").touch()
    rows = [[name, "v", "c", "train"] for name in ("a.jpg", " a.jpg", "b\\c.jpg", "b/c.jpg", " gone\\d.jpg")]
    assert write(tmp_path, rows=rows).path.tolist() == [row[0] for row in rows]


def test_letters_that_are_composed_otherwise_are_the_same(tmp_path):
    """macOS takes é apart in names of files; a table may not."""
    composed, apart = "caf\u00e9", "cafe\u0301"
    (tmp_path / f"{apart}.jpg").touch()
    manifest = write(tmp_path, rows=[[f"{composed}.jpg", apart, composed, "train"]])
    assert manifest.rows() == [(f"{apart}.jpg", composed, composed, "train", *[""] * 5)]


def test_values_of_every_manifest_have_no_blanks_around_them():
    row = {"path": " a.jpg", "vehicle_id": " v\u3000", "camera_id": "cam1 ", "split": " Train", "colour": "\tred "}
    manifest = Manifest.from_rows("pictures", [row])
    assert manifest.rows(("path", "vehicle_id", "camera_id", "split", "colour")) == [
        (" a.jpg", "v", "cam1", "train", "red")
    ]


def test_numbers_that_parquet_keeps_with_a_point_are_whole_again(tmp_path):
    columns = {
        "path": [b"a.jpg", b"b.jpg", b"c.jpg"],
        "vehicle_id": [1.0, float("nan"), 12.0],
        "camera_id": [1.5, 2.0, None],
        "split": ["train"] * 3,
        "__index_level_0__": [0, 1, 2],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "set.parquet")
    manifest = Manifest.read(tmp_path / "set.parquet")
    assert manifest.rows(("path", "vehicle_id", "camera_id")) == [
        ("a.jpg", "1", "1.5"),
        ("b.jpg", "", "2"),
        ("c.jpg", "12", ""),
    ]
    assert len(manifest.warnings) == 1


def test_what_is_written_is_plain_csv(folder):
    write(folder, sign=";").write(folder / "again.csv")
    with (folder / "again.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [HEADER, *ROWS]


def test_a_manifest_is_replaced_only_by_the_same_or_when_asked(folder):
    manifest = plain(folder)
    manifest.write(folder / "set.csv", overwrite=False)
    manifest.write(folder / "set.csv", overwrite=False)
    with pytest.raises(SamecarError, match="is there already and holds something else; choose another name, or --over"):
        manifest.of_split("query").write(folder / "set.csv", overwrite=False)
    assert len(Manifest.read(folder / "set.csv")) == len(ROWS)
    manifest.of_split("query").write(folder / "set.csv")
    assert len(Manifest.read(folder / "set.csv")) == 3


def test_check_names_a_file_that_differs_in_case(tmp_path):
    paint_picture(tmp_path / "Img" / "a.png", 1, 1, 1)
    text = io.StringIO("path,vehicle_id,camera_id,split\nimg/A.png,v,c,train\nimg/b.png,v,c,train\n")
    (tmp_path / "set.csv").write_text(text.getvalue())
    (finding,) = (found for found in check(Manifest.read(tmp_path / "set.csv")).findings if found.kind == "missing")
    assert finding.examples == ("img/A.png (there is Img/a.png)", "img/b.png")
