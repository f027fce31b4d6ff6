import numpy as np
import pytest

from samecar.calibration import Calibration, CalibrationOptions
from samecar.calibration.fitting import FEWEST_VEHICLES, HALVES, Provenance, fit_calibration, matchable_vehicles
from samecar.errors import SamecarError
from samecar.labels import Labels


def sightings(vehicles, pictures=4, size=32, spread=0.6, cameras=2, seed=0):
    """Unit vectors scattered around a direction of each vehicle; pictures are by the cameras in turn."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(vehicles, 1, size))
    matrix = (centres + spread * generator.normal(size=(vehicles, pictures, size))).reshape(-1, size)
    vehicle = np.repeat([f"v{number}" for number in range(vehicles)], pictures)
    camera = np.tile([f"c{number % cameras}" for number in range(pictures)], vehicles)
    return matrix.astype(np.float32), vehicle, camera


def calibrate(matrix, vehicle, camera, **options):
    return fit_calibration(matrix, Labels(vehicle, camera), CalibrationOptions(**options))


def cosines(matrix):
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.fixture(scope="module")
def data():
    return sightings(60, spread=1.2)


@pytest.fixture(scope="module")
def calibrated(data):
    matrix, vehicle, camera = data
    provenance = Provenance("0123456789abcdef", "csv:set", "d", "drawn")
    return fit_calibration(matrix, Labels(vehicle, camera), provenance=provenance)


@pytest.fixture(scope="module")
def few():
    return sightings(16)


def test_pairs_are_those_by_different_cameras_counted_once(data, calibrated):
    matrix, vehicle, camera = data
    similarities = cosines(matrix.astype(np.float64))
    pairs = calibrated.pairs
    for kind, counts in ((True, pairs.same), (False, pairs.different)):
        wanted = sorted(
            similarities[first, second]
            for first in range(len(vehicle))
            for second in range(first)
            if camera[first] != camera[second] and (vehicle[first] == vehicle[second]) == kind
        )
        np.testing.assert_allclose(np.repeat(pairs.middles, counts), wanted, atol=2 * np.diff(pairs.edges)[0])
    evidence = calibrated.calibration.evidence
    assert (evidence.vehicles, evidence.pictures, evidence.same_pairs) == (60, 240, 60 * 4)
    assert evidence.different_pairs == 60 * 59 // 2 * 8
    assert (evidence.data, evidence.digest, evidence.kind, evidence.seed) == ("csv:set", "d", "drawn", 1)


def test_probabilities_hold_for_vehicles_that_were_never_seen(calibrated):
    """Of new pairs, half of them of one vehicle, as many are as the probability says."""
    matrix, vehicle, camera = sightings(300, spread=1.2, seed=1)
    similarities = cosines(matrix)
    rows, columns = np.nonzero(camera[:, None] < camera)
    same = vehicle[rows] == vehicle[columns]
    weights = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
    said = calibrated.calibration.probability(similarities[rows, columns])
    for low in np.arange(0, 1, 0.2):
        part = (said >= low) & (said < low + 0.2)
        seen = np.average(same[part], weights=weights[part])
        assert seen == pytest.approx(np.average(said[part], weights=weights[part]), abs=0.12)
    quality = calibrated.calibration.quality
    assert np.sum(weights * (said - same) ** 2) == pytest.approx(quality.brier, abs=0.02)
    at = similarities[rows, columns] >= calibrated.calibration.same_threshold
    assert at[same].mean() == pytest.approx(quality.true_positive_rate, abs=0.05)
    assert at[~same].mean() == pytest.approx(quality.false_positive_rate, abs=0.05)


@pytest.mark.parametrize("gallery_vehicles", [4, 20, 60, 240])
def test_the_stated_share_of_unknown_vehicles_is_found_in_galleries_of_any_size(gallery_vehicles, calibrated):
    matrix, vehicle, _ = sightings(600, spread=1.2, seed=2)
    numbers = np.unique(vehicle, return_inverse=True)[1]
    gallery = numbers < gallery_vehicles
    best = cosines(matrix)[np.ix_(~gallery, gallery)].max(axis=1)
    alarms = (best >= calibrated.calibration.open_set_threshold(int(gallery.sum()))).mean()
    error = np.sqrt(0.05 * 0.95 / 60)  # as the thresholds were learned from 60 vehicles
    assert alarms == pytest.approx(0.05, abs=2 * error)


def test_quality_comes_from_vehicles_that_were_not_fitted_to():
    """Where embeddings tell next to nothing, a curve that fits chance is found out on others."""
    generator = np.random.default_rng(4)
    matrix = generator.normal(size=(400, 16)).astype(np.float32)
    vehicle, camera = np.repeat(np.arange(100).astype(str), 4), np.tile(["a", "b"], 200)
    matrix += 0.2 * np.repeat(generator.normal(size=(100, 16)), 4, axis=0)
    quality = calibrate(matrix, vehicle, camera, method="isotonic").calibration.quality
    assert quality.log_loss["isotonic"] > 0.66
    assert quality.true_positive_rate == pytest.approx(quality.false_positive_rate, abs=0.1)


def test_a_perfect_model_finds_all_and_no_more(data):
    _, vehicle, camera = data
    centres = np.linalg.qr(np.random.default_rng(0).normal(size=(60, 60)))[0]
    noise = 1e-3 * np.random.default_rng(1).normal(size=(240, 60))
    quality = calibrate(np.repeat(centres, 4, axis=0) + noise, vehicle, camera).calibration.quality
    assert quality.detection.rate == quality.identification.rate == quality.true_positive_rate == 1
    assert quality.false_positive_rate == 0
    assert quality.false_alarm.rate < 0.06
    assert quality.brier < 0.01


@pytest.mark.parametrize("method", [None, "isotonic", "logistic"])
def test_a_model_that_separates_well_is_calibrated_and_never_certain(method):
    """With many numbers in an embedding, similarities of two vehicles differ so little that the curve is steep."""
    generator = np.random.default_rng(0)
    parts = [generator.normal(size=(60, 1, 512)), generator.normal(size=(60, 2, 512)), generator.normal(size=512)]
    matrix = np.sqrt([0.2, 0.75, 0.05])[:, None, None, None] * np.stack(np.broadcast_arrays(*parts))
    vehicle, camera = np.repeat(np.arange(60).astype(str), 2), np.tile(["a", "b"], 60)
    calibration = calibrate(matrix.sum(axis=0).reshape(120, 512), vehicle, camera, method=method).calibration
    assert all(np.isfinite(loss) and loss < 0.1 for loss in calibration.quality.log_loss.values())
    assert calibration.probability(-1) >= 1 / 62
    assert calibration.probability(1) <= 1 - 1 / (60 * 59 / 2 + 2)


def test_numbers_of_queries_and_intervals_are_told(calibrated):
    quality = calibrated.calibration.quality
    assert quality.halves == HALVES
    for measured in (quality.false_alarm, quality.detection, quality.identification):
        assert measured.low <= measured.rate <= measured.high
        assert 30 < measured.vehicles <= 60
        assert measured.queries == 4 * measured.vehicles
    assert quality.identification.rate <= quality.detection.rate
    sizes = [size.pictures for size in quality.sizes]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (4, 60)  # of one vehicle, and of a quarter of them
    assert sum(part.share for part in quality.reliability) == pytest.approx(1)


def test_the_better_curve_is_chosen_and_the_other_can_be_had(data, calibrated):
    losses = calibrated.calibration.quality.log_loss
    better, other = sorted(losses, key=losses.get)
    assert calibrated.calibration.pairs.method == better
    found = calibrate(*data, method=other).calibration
    assert found.pairs.method == other
    assert found.quality.log_loss == losses


def test_the_same_seed_gives_the_same_calibration_and_another_one_other_halves(few):
    first, again, other = (calibrate(*few, seed=seed).calibration for seed in (1, 1, 2))
    assert first == again
    assert first.quality != other.quality
    assert first.open_set == other.open_set


def test_neither_the_order_nor_the_length_of_embeddings_matters(few):
    wanted, before = calibrate(*few).calibration, few[0].copy()
    order = np.random.default_rng(0).permutation(len(before))
    found = calibrate(*(column[order] for column in (3 * few[0], *few[1:]))).calibration
    assert found.same_threshold == pytest.approx(wanted.same_threshold, abs=1e-3)
    # rounding may part a pair's two similarities, one for each of its pictures as the query
    assert found.open_set.thresholds == pytest.approx(wanted.open_set.thresholds, abs=0.02)
    np.testing.assert_array_equal(few[0], before)


def test_without_cameras_every_pair_counts():
    matrix, vehicle, camera = sightings(20)
    unknown = calibrate(matrix, vehicle, np.full(len(camera), "")).calibration
    assert unknown.evidence.same_pairs == 20 * 6
    assert isinstance(unknown, Calibration)


def test_what_the_same_camera_saw_of_the_same_vehicle_is_no_detection():
    """Pictures by one camera are equal; those by the other are nearer to other vehicles."""
    generator = np.random.default_rng(0)
    places = generator.normal(size=(80, 24))
    matrix, vehicle = np.repeat(places, 2, axis=0), np.repeat(np.arange(40).astype(str), 4)
    camera = np.tile(["a", "a", "b", "b"], 40)
    matrix[2::4] += 0.5 * matrix[0::4]  # a little likeness between cameras
    matrix[3::4] += 0.5 * matrix[0::4]
    quality = calibrate(matrix, vehicle, camera).calibration.quality
    assert quality.detection.rate < 0.6


def test_the_rate_of_false_alarms_can_be_chosen(data, calibrated):
    rare = calibrate(*data, false_alarm_rate=0.2).calibration
    assert rare.false_alarm_rate == 0.2
    assert rare.open_set_threshold(200) < calibrated.calibration.open_set_threshold(200)
    assert rare.quality.false_alarm.rate == pytest.approx(0.2, abs=0.1)


def test_what_cannot_be_calibrated_is_refused(data):
    matrix, vehicle, camera = data
    with pytest.raises(SamecarError, match=rf"0 of 60 vehicles .*; calibration needs {FEWEST_VEHICLES} such"):
        calibrate(matrix, vehicle, np.full(len(camera), "only"))
    with pytest.raises(SamecarError, match="1 of 1 vehicles"):
        calibrate(matrix, np.full(len(vehicle), "one"), camera)
    with pytest.raises(SamecarError, match="0 of 240 vehicles"):
        calibrate(matrix, np.arange(len(vehicle)).astype(str), camera)
    with pytest.raises(SamecarError, match="every two pictures are equally similar"):
        calibrate(np.ones_like(matrix), vehicle, camera)
    with pytest.raises(SamecarError, match="embedding 7 has a NaN or infinite value"):
        calibrate(np.where(np.arange(len(matrix))[:, None] == 7, np.nan, matrix), vehicle, camera)
    opposed = np.where((camera == "c0")[:, None], matrix, -matrix)
    with pytest.raises(SamecarError, match="no more similar to the model than pictures of two"):
        calibrate(opposed, vehicle, camera)


def test_a_vehicle_is_matchable_if_two_cameras_saw_it_or_may_have():
    sightings = ["one a", "one a", "two a", "two b", "three a", "three ", "four ", "four ", "five ", "six b", "six b"]
    vehicle, camera = np.array([sighting.split(" ") for sighting in sightings]).T
    assert set(matchable_vehicles(Labels(vehicle, camera)).tolist()) == {"two", "three", "four"}


def test_vehicles_of_one_camera_still_count_as_others():
    matrix, vehicle, camera = sightings(30)
    camera = np.where(np.isin(vehicle, [f"v{number}" for number in range(12)]), "c0", camera)
    evidence = calibrate(matrix, vehicle, camera).calibration.evidence
    assert evidence.same_pairs == 18 * 4
    assert evidence.vehicles == 30


def test_the_threshold_of_one_comparison_is_the_quantile_of_different_pairs(calibrated):
    """With four pictures of one vehicle in the gallery the rate lies between that of one and of four comparisons."""
    matrix, vehicle, _ = sightings(300, spread=1.2, seed=5)
    different = cosines(matrix)[vehicle[:, None] != vehicle]
    at = calibrated.calibration.open_set_threshold(4)
    assert np.quantile(different, 0.93) < at < np.quantile(different, 0.995)
