import subprocess
import sys

import pytest

from samecar.calibration import METHODS, CalibrationOptions
from samecar.errors import SamecarError


def test_the_defaults_are_these():
    assert CalibrationOptions().model_dump() == {
        "method": None,
        "false_alarm_rate": 0.05,
        "test_vehicles": False,
        "seed": 1,
    }
    assert METHODS == ("isotonic", "logistic")


def test_every_option_says_what_it_means():
    assert all(field.description for field in CalibrationOptions.model_fields.values())


def test_some_are_changed_and_the_others_stay():
    options = CalibrationOptions(method="logistic", seed=4)
    assert options.changed() == options
    assert options.changed(seed=2, test_vehicles=True) == CalibrationOptions(
        method="logistic", seed=2, test_vehicles=True
    )
    assert options.seed == 4


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"method": "linear"}, "method is 'linear'; give isotonic or logistic"),
        ({"false_alarm_rate": 0}, "false alarm rate is 0; give a share above 0 and below 1, such as 0.05"),
        ({"false_alarm_rate": 1}, "false alarm rate is 1; give a share above 0 and below 1, such as 0.05"),
        ({"false_alarm_rate": -0.1}, "false alarm rate is -0.1; give a share above 0 and below 1, such as 0.05"),
        ({"false_alarm_rate": float("nan")}, "false alarm rate is nan; give a share above 0 and below 1, such as 0.05"),
        ({"seed": -1}, "seed is -1; give a whole number, 0 or more"),
        ({"test_vehicles": "perhaps"}, "test vehicles is 'perhaps'; give true or false"),
        (
            {"sead": 1},
            "calibration has no option 'sead'; known are method, false_alarm_rate, test_vehicles, seed",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_sentence(wrong, sentence):
    for make in (CalibrationOptions, CalibrationOptions().changed):
        with pytest.raises(SamecarError) as refused:
            make(**wrong)
        assert str(refused.value) == sentence


def test_the_options_of_a_shell_wait_for_neither_torch_nor_scipy():
    check = "import samecar.calibration.options, sys; assert not {'torch', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
