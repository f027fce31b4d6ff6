import pytest

from samecar.data.boxes.annotations import Box
from samecar.data.boxes.mot import read_mot
from samecar.errors import SamecarError


def test_lines_are_frame_track_and_box_and_may_tell_confidence_and_class(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text(
        "1,7,912,484,97,109,1,3,0.8\n2, 7, 913.5, 484, 97, 109, 1, -1, -1, -1\n3,-1,5,6,7,8,0.35\n4 9 1 2 3 4\n"
        "5,7,1,1,9,9,0,3\n"
    )
    found = read_mot(path)
    assert found.boxes == [
        Box(1, 912, 484, 1009, 593, track_id="7", type="3"),
        Box(2, 913.5, 484, 1010.5, 593, track_id="7"),
        Box(3, 5, 6, 12, 14),
        Box(4, 1, 2, 4, 6, track_id="9"),
    ]
    assert found.first == 1
    assert found.left_out == {"are not to be counted (their seventh value is 0)": 1}


@pytest.mark.parametrize(
    "line", ["1,7,912,484,97", "frame,id,left,top,width,height", "1.5,7,0,0,9,9", "1,a,0,0,9,9", "1,7,0,0,inf,9"]
)
def test_other_lines_are_refused(tmp_path, line):
    path = tmp_path / "gt.txt"
    path.write_text(f"1,7,912,484,97,109\n{line}\n")
    with pytest.raises(
        SamecarError, match=rf"gt.txt has the line '{line}'; each line of boxes must be FRAME,ID,LEFT,TOP"
    ):
        read_mot(path)
