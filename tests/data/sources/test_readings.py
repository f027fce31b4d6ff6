import re

import pytest

from samecar.data import open_source

VERI = [
    f"{v:04d}_c{c:03d}_{16450 + 911 * v + 37 * c + k:08d}_0.jpg" for v in range(1, 5) for c in (1, 2) for k in (0, 1)
]


def opened(folder, names, pattern):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return open_source(f"folder:{folder}/{pattern}")


def doubts(manifest):
    return [sentence for sentence in manifest.warnings if "two ways" in sentence]


@pytest.mark.parametrize(
    ("pattern", "clear", "vehicles", "cameras"),
    [
        ("{vehicle_id}_{camera_id}_*.jpg", "{vehicle_id}_{camera_id}_*_*.jpg", 4, 2),
        ("{vehicle_id}_{camera_id}.jpg", "{vehicle_id}_{camera_id}_*_*.jpg", 4, 2),
        ("{vehicle_id}_{camera_id}_{time}.jpg", "{vehicle_id}_{camera_id}_{time}_*.jpg", 4, 2),
        ("{vehicle_id}_*.jpg", "{vehicle_id}_*_*_*.jpg", 4, 1),
    ],
)
def test_a_pattern_with_two_readings_is_answered_with_a_clear_one(tmp_path, pattern, clear, vehicles, cameras):
    (doubt,) = doubts(opened(tmp_path, VERI, pattern))
    assert doubt.endswith(f"; write {clear!r}")
    manifest = open_source(f"folder:{tmp_path}/{clear}")
    assert not manifest.warnings
    assert (len(set(manifest.vehicle_id)), len(set(manifest.camera_id))) == (vehicles, cameras)


def test_both_readings_are_named_with_what_they_count(tmp_path):
    (doubt,) = doubts(opened(tmp_path, VERI, "{vehicle_id}_{camera_id}_*.jpg"))
    assert re.search(
        r"'0001_c001_\d+_0.jpg' is taken as vehicle_id '0001_c001', camera_id '\d+' \(8 vehicles, 16 cameras in all\), "
        r"but may be vehicle_id '0001', camera_id 'c001' \(4 vehicles, 2 cameras in all\)",
        doubt,
    )


def test_a_camera_before_the_vehicle_is_doubted_too(tmp_path):
    names = [f"cam_{c}_car_{v}_{k}.jpg" for c in (1, 2) for v in range(4) for k in range(2)]
    (doubt,) = doubts(opened(tmp_path, names, "{camera_id}_{vehicle_id}.jpg"))
    assert "camera_id 'cam', vehicle_id '1_car_0_0' (16 vehicles, 1 cameras in all)" in doubt


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (
            "{vehicle_id}_{camera_id}.jpg",
            [f"{kind}_{v:03d}_cam{c}.jpg" for kind in ("car", "bus") for v in (1, 2, 3) for c in (1, 2)],
        ),
        ("{vehicle_id}_{camera_id}_*.jpg", [f"v{v}_c{c}_{k}.jpg" for v in range(3) for c in (1, 2) for k in (0, 1)]),
        ("{camera_id}/{vehicle_id}.jpg", [f"cam_{c}/car_{v}.jpg" for c in (1, 2) for v in range(4)]),
        ("{vehicle_id}_{camera_id}_*.jpg", ["a_b_c_d.jpg", "a_b_d_e.jpg"]),
        ("{camera_id}_*.jpg", [f"a_b_{k}_e.jpg" for k in range(8)]),
    ],
)
def test_a_pattern_of_which_one_reading_makes_sense_is_not_doubted(tmp_path, pattern, names):
    assert not doubts(opened(tmp_path, names, pattern))
