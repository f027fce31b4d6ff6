"""Which train pictures are trained on."""

import pytest

from samecar.config import load_recipe
from samecar.data import Manifest
from samecar.errors import SamecarError
from samecar.experiment.train import pictures_to_train_on, train_pictures


def manifest(vehicles):
    return Manifest.from_rows(
        "crops",
        [
            {"path": f"{vehicle}_{camera}_{n}.jpg", "vehicle_id": vehicle, "camera_id": camera, "split": "train"}
            for vehicle in vehicles
            for camera in ("c1", "c2")
            for n in range(2)
        ],
    )


@pytest.mark.parametrize("changes", [[], ["training.validation=0.5"]])
def test_minus_one_is_no_vehicle_to_train_on_or_to_validate_with(changes):
    recipe = load_recipe("report-baseline", changes)
    training, held_out = pictures_to_train_on(recipe, manifest(["-1", "3", "5", "7", "9", "unknown"]))
    expected, expected_held_out = pictures_to_train_on(recipe, manifest(["3", "5", "7", "9"]))
    assert training.digest == expected.digest
    assert (held_out is None) == (expected_held_out is None) == (not changes)
    assert held_out is None or held_out.digest == expected_held_out.digest


def test_nobody_but_minus_one_is_refused():
    with pytest.raises(SamecarError, match="has no train pictures of known vehicles"):
        train_pictures(manifest(["-1"]))
    assert len(train_pictures(manifest(["-1", ""]))) == 4  # pictures without a vehicle_id are refused later, and named
