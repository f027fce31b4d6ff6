"""Vehicle ids that name no vehicle, wherever a set is used."""

import pytest

from samecar.data import IdentityBatches, Manifest, split_by_identity
from samecar.data.placeholders import describe_placeholders, without_placeholders
from samecar.errors import SamecarError


def manifest(vehicles, cameras=2):
    return Manifest.from_rows(
        "crops",
        [
            {"path": f"{number}_{camera}.jpg", "vehicle_id": vehicle, "camera_id": f"c{camera}", "split": "train"}
            for number, vehicle in enumerate(vehicles)
            for camera in range(cameras)
        ],
    )


def test_they_are_counted_and_quoted():
    sentence = "pictures whose vehicle_id names no vehicle ('-1', 'Unknown') and which count as unlabelled: 6"
    assert describe_placeholders(manifest(["-1", "7", "Unknown", "-1", ""])) == sentence
    assert describe_placeholders(manifest(["7", "0000", ""])) == ""


def test_pictures_without_any_vehicle_stay():
    assert without_placeholders(manifest(["-1", "7", ""])).vehicle_id.tolist() == ["7", "7", "", ""]


def test_they_are_no_vehicles_of_a_set():
    given = manifest(["-1", "7", "null", "8", ""])
    assert given.vehicle_count == 2
    assert given.labelled.tolist() == [False] * 2 + [True] * 2 + [False] * 2 + [True] * 2 + [False] * 2


def test_a_split_leaves_them_out_and_says_so():
    given = manifest(["-1", "7", "8", "9", "-1"])
    divided = split_by_identity(given, 2)
    assert set(divided.vehicle_id.tolist()) == {"7", "8", "9"}
    assert divided.split_counts == split_by_identity(manifest(["7", "8", "9"]), 2).split_counts
    assert divided.warnings[0].startswith("left out: pictures whose vehicle_id names no vehicle ('-1')")
    assert divided.warnings[0].endswith(": 4")
    with pytest.raises(SamecarError, match="no picture has a vehicle_id"):
        split_by_identity(manifest(["-1", "unknown"]), 1)


def test_no_batch_holds_one():
    given = manifest(["-1", "7", "8"])
    with pytest.raises(SamecarError, match="2 training pictures have no vehicle_id"):
        IdentityBatches(given.vehicle_id, 4, 2)
