"""Calibrations that nobody fitted, for tests of what is done with one."""

from samecar.calibration import Calibration, Evidence, Logistic, MeasuredRate, OpenSet, Quality


def calibration_of(curve, open_set=None, model="0123456789abcdef"):
    """A calibration with this curve and this open-set answer, of nine made-up vehicles."""
    nobody = MeasuredRate(rate=0, low=None, high=None, queries=1, vehicles=1)
    return Calibration(
        model=model,
        pairs=curve,
        open_set=open_set
        or OpenSet(false_alarm_rate=0.05, pictures=(1, 10), thresholds=(0.3, 0.5), shape=-0.1, scale=0.02),
        quality=Quality(
            halves=1,
            log_loss={"isotonic": 0.3, "logistic": 0.3},
            brier=0.1,
            calibration_error=0.01,
            reliability=(),
            true_positive_rate=0.9,
            false_positive_rate=0.1,
            false_alarm=nobody,
            detection=nobody,
            identification=nobody,
            sizes=(),
        ),
        evidence=Evidence(
            data="csv:set",
            digest="",
            kind="test vehicles",
            vehicles=9,
            pictures=18,
            same_pairs=9,
            different_pairs=99,
            seed=1,
        ),
    )


def nearly_equal_calibration(model, false_alarm_rate=0.05):
    """A calibration by which only pictures that are all but equal show one vehicle: from 0.9999 on."""
    curve = Logistic(slope=10, intercept=0, lowest=0.01, highest=0.99)
    thresholds = OpenSet(
        false_alarm_rate=false_alarm_rate, pictures=(1, 1e9), thresholds=(0.9999, 0.9999), shape=-0.1, scale=0
    )
    return calibration_of(curve, thresholds, model)
