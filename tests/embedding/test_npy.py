import numpy as np
import pytest

from samecar.data import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.reading import read_split
from samecar.errors import SamecarError


@pytest.fixture
def embeddings(tmp_path):
    rows = [
        {"path": f"crops/{row}.jpg", "vehicle_id": f"v{row % 2}", "camera_id": "c", "split": split, "colour": "red"}
        for row, split in enumerate(("query", "gallery", "gallery"))
    ]
    return Embeddings(np.arange(6, dtype=np.float32).reshape(3, 2), Manifest.from_rows(tmp_path, rows), "0123")


def test_a_matrix_and_a_table_that_any_tool_reads(embeddings, tmp_path):
    embeddings.save(tmp_path / "new" / "crops.npy")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["crops.csv", "crops.npy"]
    assert np.load(tmp_path / "new" / "crops.npy", allow_pickle=False).tolist() == [[0, 1], [2, 3], [4, 5]]
    table = (tmp_path / "new" / "crops.csv").read_text().splitlines()
    assert table[:2] == ["path,vehicle_id,camera_id,split,colour", f"{tmp_path}/crops/0.jpg,v0,c,query,red"]


def test_what_is_written_is_read(embeddings, tmp_path):
    embeddings.save(tmp_path / "crops.npy")
    loaded = Embeddings.load(tmp_path / "crops.npy")
    assert (loaded.matrix.tolist(), loaded.matrix.dtype) == (embeddings.matrix.tolist(), np.float32)
    assert loaded.manifest.digest == embeddings.manifest.digest
    assert loaded.model == "not stated"
    for name in ("crops.npy", "crops.csv"):
        gallery = read_split(tmp_path / name, "gallery")
        assert gallery.matrix.tolist() == [[2, 3], [4, 5]]
        assert gallery.labels.vehicle_id.tolist() == ["v1", "v0"]


def test_the_same_table_stays_and_another_one_is_never_replaced(embeddings, tmp_path):
    embeddings.manifest.write(tmp_path / "crops.csv")
    with (tmp_path / "crops.csv").open("a") as table:
        table.write("\r\n")
    before = (tmp_path / "crops.csv").read_bytes()
    embeddings.save(tmp_path / "crops.npy")
    assert (tmp_path / "crops.csv").read_bytes() == before
    for other in (embeddings.select(np.array([0, 2, 1])).manifest, embeddings.select(np.array([0])).manifest):
        other.write(tmp_path / "crops.csv")
        before = (tmp_path / "crops.csv").read_bytes()
        with pytest.raises(SamecarError, match=r"crops.csv is there already and is not the table of these embeddings"):
            embeddings.save(tmp_path / "crops.npy")
        assert (tmp_path / "crops.csv").read_bytes() == before
    (tmp_path / "notes.csv").write_text("my notes")
    with pytest.raises(SamecarError, match=r"notes.csv is there already"):
        embeddings.save(tmp_path / "notes.npy")


def test_halves_are_refused(embeddings, tmp_path):
    embeddings.save(tmp_path / "crops.npy")
    (tmp_path / "crops.npy").rename(tmp_path / "alone.npy")
    for name, sentence in {
        "crops.npy": "crops.npy has no embeddings; put crops.npy beside it",
        "alone.npy": "alone.npy has no labels; put alone.csv or alone.parquet beside it",
    }.items():
        with pytest.raises(SamecarError, match=sentence):
            Embeddings.load(tmp_path / name)
    np.save(tmp_path / "crops.npy", embeddings.matrix[:2])
    with pytest.raises(SamecarError, match=r"crops.npy has path of shape \(3,\) for 2 embeddings"):
        Embeddings.load(tmp_path / "crops.npy")
    (tmp_path / "crops.npy").write_bytes(b"damaged")
    with pytest.raises(SamecarError, match=r"crops.npy cannot be read as .npy: "):
        Embeddings.load(tmp_path / "crops.npy")
