import pytest

from samecar.data.boxes.annotations import Box
from samecar.data.boxes.cvat import read_cvat
from samecar.errors import SamecarError

EDGES = 'xtl="1.00" ytl="2.50" xbr="31.00" ybr="22.00"'


def written(path, inside):
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{inside}</annotations>')
    return path


def test_images_have_boxes_with_attributes(tmp_path):
    found = read_cvat(
        written(
            tmp_path / "boxes.xml",
            f'<image id="0" name="n/1.png" width="64" height="48"><tag label="day"/><box label="van" {EDGES}>'
            '<attribute name="vehicle_id"> 12 </attribute><attribute name="colour"></attribute></box>'
            f'<box label="car" rotation="12.5" {EDGES}/><polygon label="car" points="1,2;3,4;5,6"/></image>'
            f'<image id="1" name="2.png"><box label="car" {EDGES}/></image>',
        )
    )
    assert found.boxes == [
        Box("n/1.png", 1, 2.5, 31, 22, vehicle_id="12", type="van"),
        Box("2.png", 1, 2.5, 31, 22, type="car"),
    ]
    assert (found.sizes, found.first) == ({"n/1.png": (64, 48)}, None)
    assert found.left_out == {"are turned (rotation)": 1, "are shapes that are no boxes": 1}


def test_tracks_have_boxes_on_frames_counted_from_0(tmp_path):
    found = read_cvat(
        written(
            tmp_path / "boxes.xml",
            "<meta><task><original_size><width>64</width><height>48</height></original_size></task></meta>"
            f'<track id="3" label="bus"><box frame="0" outside="0" {EDGES}/><box frame="1" outside="1" {EDGES}/>'
            "</track>"
            f'<track id="4" label="car"><box frame="1" {EDGES}><attribute name="vehicle">v</attribute></box></track>',
        )
    )
    assert found.boxes == [
        Box(0, 1, 2.5, 31, 22, track_id="3", type="bus"),
        Box(1, 1, 2.5, 31, 22, vehicle_id="v", track_id="4", type="car"),
    ]
    assert (found.first, found.size) == (0, (64, 48))
    assert found.left_out == {"are outside of their frame (outside)": 1}


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("<image>", "mismatched tag"),
        ("<image/>", "a box lacks 'name'"),
        ('<image name="a"><box xtl="1" ytl="2" xbr="3"/></image>', "a box lacks 'ybr'"),
        ('<image name="a"><box xtl="1" ytl="2" xbr="3" ybr="nan"/></image>', "edge that is no number"),
        (f'<track id="1"><box frame="one" {EDGES}/></track>', "invalid literal"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, inside, reason):
    with pytest.raises(SamecarError, match=rf"boxes.xml holds no boxes in CVAT's form: .*{reason}.*; export the task"):
        read_cvat(written(tmp_path / "boxes.xml", inside))


def test_other_xml_is_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<TrainingImages/>")
    with pytest.raises(SamecarError, match="its outermost element is TrainingImages"):
        read_cvat(tmp_path / "a.xml")
    (tmp_path / "b.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>')
    with pytest.raises(SamecarError, match="declares a document type, which CVAT's files do not"):
        read_cvat(tmp_path / "b.xml")
