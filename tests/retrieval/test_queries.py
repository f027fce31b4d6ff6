import numpy as np
import pytest

from samecar.errors import SamecarError
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.queries import find_queries, is_several
from samecar.retrieval.records import pool_embeddings


def test_the_mean_of_views_has_length_one():
    rows = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    found = pool_embeddings(rows)
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([2**-0.5, 2**-0.5, 0])
    assert pool_embeddings(rows[:1]).tolist() == [1, 0, 0]


def test_views_that_cancel_each_other_out_are_refused():
    with pytest.raises(SamecarError, match="the embeddings of 2 pictures cancel each other out; give pictures that"):
        pool_embeddings(np.array([[0.6, 0.8], [-0.6, -0.8]], np.float32))


def test_no_view_is_refused(painted_gallery):
    with (
        Gallery.open(painted_gallery, device="cpu") as gallery,
        pytest.raises(SamecarError, match="there is no picture to search with; give one view"),
    ):
        gallery.search_views([])


def test_what_names_stand_for(tmp_path):
    for name in ("b.png", "a.JPG", "note.txt", ".hidden.png"):
        (tmp_path / name).touch()
    found = find_queries(["x.png", "-", str(tmp_path), "id:7"], ["one.png\n", "  \n", " two.png \r\n"])
    assert [(query.name, query.id) for query in found] == [
        ("x.png", None),
        ("one.png", None),
        (" two.png ", None),
        (f"{tmp_path}/a.JPG", None),
        (f"{tmp_path}/b.png", None),
        ("id:7", 7),
    ]


def test_what_may_be_several(tmp_path):
    assert [is_several(names) for names in (["a.png"], ["id:3"], ["-"], [str(tmp_path)], ["a.png", "b.png"])] == [
        *(False, False),
        *(True, True, True),
    ]
