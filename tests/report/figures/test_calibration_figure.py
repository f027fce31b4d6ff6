import numpy as np
import pytest

from samecar.calibration.fitting import Provenance, fit_calibration
from samecar.labels import Labels
from samecar.report.figures.pairs import BEYOND, calibration_figure


@pytest.fixture(scope="module")
def calibrated():
    generator = np.random.default_rng(0)
    matrix = np.repeat(generator.normal(size=(24, 16)), 4, axis=0) + generator.normal(size=(96, 16))
    labels = Labels(np.repeat(np.arange(24), 4).astype(str), np.tile(["a", "b"], 48))
    return fit_calibration(matrix, labels, provenance=Provenance(kind="drawn ones"))


def test_four_panels_show_what_was_measured(calibrated):
    calibration, pairs = calibrated
    figure = calibration_figure(calibration, pairs, title="Calibration: tiny")
    reliability, similarities, alarms, thresholds = figure.axes
    dots = reliability.collections[0].get_offsets()
    said = [(part.probability, part.same) for part in calibration.quality.reliability]
    np.testing.assert_allclose(dots, said)
    assert similarities.lines[0].get_xdata()[0] == calibration.same_threshold
    np.testing.assert_allclose(alarms.lines[0].get_xdata(), [size.pictures for size in calibration.quality.sizes])
    np.testing.assert_allclose(alarms.lines[0].get_ydata(), [size.rate for size in calibration.quality.sizes])
    measured, beyond = thresholds.lines
    np.testing.assert_allclose(measured.get_ydata(), calibration.open_set.thresholds)
    assert beyond.get_xdata()[-1] == pytest.approx(BEYOND * calibration.open_set.pictures[-1])
    assert beyond.get_ydata()[0] == measured.get_ydata()[-1]
    assert beyond.get_linestyle() != measured.get_linestyle()
    assert figure.get_suptitle() == "Calibration: tiny"
    assert "24 vehicles (drawn ones) in 96 pictures" in figure.get_supxlabel()


def test_the_stated_rate_and_the_numbers_of_pairs_are_named(calibrated):
    calibration, pairs = calibrated
    figure = calibration_figure(calibration, pairs, title="")
    labels = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
    assert "stated: 5 %" in labels
    assert f"same vehicle ({pairs.same.sum():,} pairs)" in labels
    assert any(label.startswith(f"{calibration.pairs.method}: off by") for label in labels)
