import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import v2

from samecar.config import AugmentationSettings
from samecar.data import evaluation_transform, training_transform
from samecar.data.changes import CentreCrop, GreyPatch, PCAColour, RandomBlur, RandomErasing, RandomTranslation
from samecar.data.transforms import normalise_transform
from samecar.preprocessing import Preprocessing

MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
PREPROCESSING = Preprocessing(32, 48, MEAN, DEVIATION)
OFF = {"translation": 0.0, "flip": 0.0}
AREA, RATIO = (0.02, 0.4), (0.3, 1 / 0.3)


def noise(height=50, width=60, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def ramp(height, width):
    """Red tells the column, green the row, both from 0 to 1 between the outer edges."""
    columns, rows = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    picture = np.zeros((height, width, 3))
    picture[..., 0], picture[..., 1] = columns * 255, rows[:, None] * 255
    return Image.fromarray(picture.round().astype(np.uint8))


def training(**options):
    return training_transform(PREPROCESSING, AugmentationSettings(**(OFF | options)))


def naive_evaluation(picture, height, width):
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)) / 255
    return ((resized - np.array(MEAN)) / np.array(DEVIATION)).transpose(2, 0, 1)


def test_evaluation_resizes_and_normalises():
    tensor = evaluation_transform(PREPROCESSING)(noise())
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 32, 48)
    np.testing.assert_allclose(tensor, naive_evaluation(noise(), 32, 48), atol=1e-5)


def test_quick_reading_resizes_quickly_in_evaluation_and_in_training():
    quick = replace(PREPROCESSING, reading="quick")
    expected = torch.from_numpy(quick.pixels(noise()))
    assert np.array_equal(evaluation_transform(quick).prepare(noise()).pixels, expected)
    assert not np.array_equal(evaluation_transform(PREPROCESSING).prepare(noise()).pixels, expected)
    trained = training_transform(quick, AugmentationSettings(**OFF))
    assert torch.equal(trained(noise()), normalise_transform(quick)(expected))


def test_pictures_that_are_normalised_together_are_as_one_by_one():
    pictures = [noise(seed=seed) for seed in range(3)]
    transform = evaluation_transform(PREPROCESSING)
    small = torch.from_numpy(np.stack([transform.prepare(picture).pixels for picture in pictures]))
    assert small.dtype == torch.uint8
    before = small.clone()
    together = normalise_transform(PREPROCESSING)(small)
    assert torch.equal(small, before)
    assert torch.equal(together, torch.stack([transform(picture) for picture in pictures]))


def test_training_with_everything_off_is_evaluation():
    assert torch.equal(training()(noise()), evaluation_transform(PREPROCESSING)(noise()))


def test_training_with_everything_on_keeps_shape_and_type_and_its_input():
    picture = noise()
    before = np.asarray(picture).copy()
    transform = training(centre_crop=0.893, translation=0.5, flip=0.5, jitter=True, pca_colour=0.5, erasing=0.5)
    for seed in range(20):
        torch.manual_seed(seed)
        tensor = transform(picture)
        assert tensor.shape == (3, 32, 48)
        assert tensor.dtype == torch.float32
        assert torch.isfinite(tensor).all()
    np.testing.assert_array_equal(np.asarray(picture), before)


def test_all_chance_comes_from_torchs_global_generator():
    transform = training(translation=0.5, flip=0.5, jitter=True, pca_colour=0.5, erasing=0.5)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append([transform(noise()) for _ in range(5)])
    assert all(torch.equal(one, two) for one, two in zip(results[0], results[1], strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(results[0], results[2], strict=True))


def test_flip_mirrors_with_its_probability():
    plain = training()(noise())
    torch.manual_seed(0)
    flipped = [torch.equal(training(flip=0.3)(noise()), plain.flip(2)) for _ in range(400)]
    assert torch.equal(training(flip=1.0)(noise()), plain.flip(2))
    assert np.mean(flipped) == pytest.approx(0.3, abs=0.07)


def test_centre_crop_keeps_the_share_in_the_middle_and_the_size():
    cropped = CentreCrop(200 / 224)(ramp(112, 224))
    assert cropped.size == (224, 112)
    values = np.asarray(cropped) / 255
    expected_columns = (12 + (np.arange(224) + 0.5) * 200 / 224) / 224
    expected_rows = (6 + (np.arange(112) + 0.5) * 100 / 112) / 112
    np.testing.assert_allclose(values[:, :, 0].mean(axis=0), expected_columns, atol=0.006)
    np.testing.assert_allclose(values[:, :, 1].mean(axis=1), expected_rows, atol=0.006)


def test_centre_crop_of_everything_changes_nothing():
    np.testing.assert_array_equal(np.asarray(CentreCrop(1.0)(noise())), np.asarray(noise()))


def test_translation_cuts_the_size_out_of_a_larger_one():
    height, width = 64, 96
    torch.manual_seed(0)
    offsets = set()
    for _ in range(600):
        cut = np.asarray(RandomTranslation(height, width, 1.0)(ramp(144, 216))).astype(float) / 255
        left = cut[:, :, 0].mean(axis=0) * 108 - 0.5  # column of the larger picture that each column came from
        top = cut[:, :, 1].mean(axis=1) * 72 - 0.5
        assert np.diff(left).mean() == pytest.approx(1, abs=0.02)
        assert np.diff(top).mean() == pytest.approx(1, abs=0.02)
        offsets.add((round((left - np.arange(width)).mean()), round((top - np.arange(height)).mean())))
    assert {left for left, _ in offsets} == set(range(13))  # 1/8 of 96 at most
    assert {top for _, top in offsets} == set(range(9))
    assert len(offsets) > 95  # 13 x 9 = 117 pairs, independent


def test_translation_otherwise_resizes_everything():
    plain = np.asarray(noise().resize((48, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(np.asarray(RandomTranslation(32, 48, 0.0)(noise())), plain)
    torch.manual_seed(0)
    same = [np.array_equal(np.asarray(RandomTranslation(32, 48, 0.5)(noise())), plain) for _ in range(400)]
    assert np.mean(same) == pytest.approx(0.5, abs=0.08)


def test_jitter_changes_brightness_and_contrast_within_their_ranges():
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    means, deviations = [], []
    torch.manual_seed(0)
    stripes = Image.fromarray(np.tile(np.array([[80], [120]], np.uint8), (4, 8))[..., None].repeat(3, axis=2))
    as_it_is = Preprocessing(8, 8, mean=(0, 0, 0), deviation=(1, 1, 1))
    transform = training_transform(as_it_is, AugmentationSettings(**OFF, jitter=True))
    for _ in range(300):
        flat = transform(grey)
        assert flat.std() < 1e-6  # neither hue nor saturation
        means.append(float(flat.mean()) * 255 / 100)
        striped = transform(stripes)
        deviations.append(float(striped.std(correction=0) / striped.mean()) / 0.2)  # contrast, whatever the brightness
    assert 0.8 - 1e-6 <= min(means) < 0.82
    assert 1.18 < max(means) <= 1.2 + 1e-6
    assert 0.85 - 1e-5 <= min(deviations) < 0.87
    assert 1.13 < max(deviations) <= 1.15 + 1e-5


def test_pca_colour_adds_the_weighted_axes():
    picture = torch.rand(3, 4, 5)
    before = picture.clone()
    torch.manual_seed(3)
    changed = PCAColour(1.0)(picture)
    torch.manual_seed(3)
    torch.rand(())  # whether it happens
    first, second, third = (torch.randn(3) * 0.1).tolist()
    shift = [
        first * 0.2175 * red + second * 0.0188 * green + third * 0.0045 * blue
        for red, green, blue in [(-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)]
    ]
    np.testing.assert_allclose(changed - before, np.broadcast_to(np.array(shift)[:, None, None], (3, 4, 5)), atol=1e-6)
    assert torch.equal(picture, before)


def test_pca_colour_mostly_makes_brighter_or_darker():
    # The first axis weighs R, G and B alike; with the matrix transposed it would weigh them .57, -.72 and -.40.
    torch.manual_seed(0)
    shifts = torch.stack([PCAColour(1.0)(torch.zeros(3, 1, 1)).flatten() for _ in range(2000)])  # (draws, RGB)
    np.testing.assert_allclose(shifts.std(0), [0.01243, 0.01264, 0.01276], rtol=0.08)
    assert np.corrcoef(shifts.T.numpy()).min() > 0.97
    torch.manual_seed(0)
    assert np.mean([bool(PCAColour(0.5)(torch.zeros(3, 1, 1)).any()) for _ in range(400)]) == pytest.approx(
        0.5, abs=0.08
    )


def erased_rectangles(height, width, draws, seed=0):
    torch.manual_seed(seed)
    for _ in range(draws):
        erased = RandomErasing(1.0, AREA, RATIO)(torch.ones(3, height, width)) == 0
        assert torch.equal(erased[0], erased[1])
        assert torch.equal(erased[0], erased[2])
        rows, columns = erased[0].any(1).nonzero().flatten(), erased[0].any(0).nonzero().flatten()
        assert len(rows) * len(columns) == erased[0].sum()  # one full rectangle
        yield int(rows[0]), int(columns[0]), len(rows), len(columns)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96)])
def test_erased_areas_and_ratios_follow_the_definition(height, width):
    top, left, rows, columns = np.array(list(erased_rectangles(height, width, 1500))).T
    area, ratio = rows * columns / (height * width), rows / columns
    slack = 1 / rows + 1 / columns  # rounding to whole pixels
    assert (area > 0.02 * (1 - slack)).all()
    assert (area < 0.4 * (1 + slack)).all()
    assert (ratio > 0.3 * (1 - slack)).all()
    assert (ratio < (1 + slack) / 0.3).all()
    assert (top + rows <= height).all()
    assert (left + columns <= width).all()
    # The same by a plain loop with its own random numbers.
    random, naive = np.random.default_rng(1), []
    while len(naive) < 4000:
        wanted, shape = random.uniform(0.02, 0.4), random.uniform(0.3, 1 / 0.3)
        tall, wide = math.sqrt(wanted * height * width * shape), math.sqrt(wanted * height * width / shape)
        if round(tall) <= height and round(wide) <= width:
            naive.append((wanted, tall / wide, random.random() * (height - tall), random.random() * (width - wide)))
    expected = np.mean(naive, axis=0)
    assert area.mean() == pytest.approx(expected[0], abs=0.012)
    assert ratio.mean() == pytest.approx(expected[1], abs=0.1)
    assert top.mean() == pytest.approx(expected[2], abs=1.2)
    assert left.mean() == pytest.approx(expected[3], abs=1.8)


@pytest.mark.parametrize("change", [RandomErasing, GreyPatch])
def test_a_changed_rectangle_never_fills_a_side(change):
    torch.manual_seed(2)
    picture = torch.rand(3, 12, 10) + 1
    alter = change(1.0, (0.3, 1.0), (0.3, 1 / 0.3))
    changed = torch.stack([alter(picture) for _ in range(400)])
    touched = (changed != picture).any(dim=1)  # (times, height, width)
    assert touched.any(dim=(1, 2)).all()
    assert (touched.any(dim=2).sum(dim=1) < 12).all()
    assert (touched.any(dim=1).sum(dim=1) < 10).all()
    assert touched.any(dim=2).sum(dim=1).max() == 11


def test_erased_areas_and_ratios_can_be_chosen():
    torch.manual_seed(0)
    transform = training(erasing=1.0, erasing_area=(0.25, 0.25), erasing_ratio=(1.0, 1.0))
    whole = training()(noise())
    for _ in range(5):
        changed = (transform(noise()) != whole).any(0)
        rows, columns = changed.any(1).sum(), changed.any(0).sum()
        assert rows == columns == round(math.sqrt(0.25 * 32 * 48))


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_jitter_of_saturation_and_hue_can_be_had(name):
    grey = Image.new("RGB", (48, 32), (90, 90, 90))
    red = Image.new("RGB", (48, 32), (200, 60, 60))
    torch.manual_seed(0)
    off = {"jitter": True, "jitter_brightness": 0, "jitter_contrast": 0}
    changed = training(**off, **{f"jitter_{name}": 0.5})
    nothing = training(**off)
    assert torch.allclose(changed(grey), training()(grey), atol=1e-3)  # grey has neither
    assert torch.equal(nothing(red), training()(red))
    differences = [(changed(red) - training()(red)).abs().max() for _ in range(5)]
    assert max(differences) > 0.1


def test_the_erased_region_is_the_mean_colour_and_the_rest_untouched():
    torch.manual_seed(0)
    whole = training()(noise())
    erased = training(erasing=1.0)(noise())
    changed = (erased != whole).any(0)
    assert (erased[:, changed] == 0).all()  # 0 after normalise_transform is the mean
    assert 0.01 < changed.float().mean() < 0.5


def test_erasing_happens_with_its_probability_and_copies():
    picture = torch.ones(3, 16, 16)
    torch.manual_seed(0)
    happened = [bool((RandomErasing(0.25, AREA, RATIO)(picture) == 0).any()) for _ in range(600)]
    assert np.mean(happened) == pytest.approx(0.25, abs=0.06)
    assert picture.all()


def test_what_cannot_be_erased_stays():
    picture = torch.ones(3, 1, 400)
    torch.manual_seed(0)
    assert all(RandomErasing(1.0, AREA, RATIO)(picture).shape == picture.shape for _ in range(20))


def test_padding_moves_the_picture_by_whole_pixels_and_black_comes_in():
    torch.manual_seed(0)
    plain = np.asarray(noise().resize((48, 32), Image.Resampling.BILINEAR))
    as_it_is = Preprocessing(32, 48, mean=(0, 0, 0), deviation=(1, 1, 1))
    transform = training_transform(as_it_is, AugmentationSettings(**OFF, pad=2))
    framed = np.zeros((36, 52, 3))
    framed[2:34, 2:50] = plain
    moves = {(top, left): framed[top : top + 32, left : left + 48] for top in range(5) for left in range(5)}
    seen = set()
    for _ in range(200):
        moved = (transform(noise()) * 255).round().numpy().transpose(1, 2, 0)
        (place,) = [place for place, expected in moves.items() if np.array_equal(moved, expected)]
        seen.add(place)
    assert len(seen) == 25  # each of 5 × 5 places


@pytest.mark.parametrize("policy", ["autoaugment", "randaugment", "trivialaugment"])
def test_policies_change_pictures_by_torchs_chance_alone(policy):
    transform = training(policy=policy)
    plain = training()(noise())
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append([transform(noise()) for _ in range(8)])
    assert all(torch.equal(one, two) for one, two in zip(results[0], results[1], strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(results[0], results[2], strict=True))
    assert sum(not torch.equal(changed, plain) for changed in results[0]) > 4
    assert all(changed.shape == plain.shape and changed.dtype == torch.float32 for changed in results[0])
    torch.manual_seed(0)
    rarely = training(policy=policy, policy_probability=0.1)
    assert sum(torch.equal(rarely(noise()), plain) for _ in range(30)) > 20


@pytest.mark.parametrize(("operations", "magnitude"), [(1, 5), (2, 9), (3, 30)])
def test_randaugment_is_torchvisions_of_that_strength(operations, magnitude):
    settings = {"randaugment_operations": operations, "randaugment_magnitude": magnitude}
    transform = training(policy="randaugment", **settings)
    theirs = v2.RandAugment(operations, magnitude, interpolation=v2.InterpolationMode.BILINEAR)
    resized = noise().resize((48, 32), Image.Resampling.BILINEAR)
    for seed in range(5):
        torch.manual_seed(seed)
        ours = transform(noise())
        torch.manual_seed(seed)
        torch.rand(()), torch.rand(1)  # whether to translate, whether to apply the policy
        expected = (np.asarray(theirs(resized)) / 255 - np.array(MEAN)) / np.array(DEVIATION)
        np.testing.assert_allclose(ours, expected.transpose(2, 0, 1), atol=1e-5)


def test_blur_is_gaussian():
    # Pillow puts three boxes in place of the bell: what a point is spread to agrees within a few per cent of its peak.
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    across = np.arange(41) - 20
    for sigma in (1.0, 2.0, 3.0):
        blurred = np.asarray(RandomBlur(1.0, (sigma, sigma))(Image.fromarray(point)), float)[:, :, 0] / 255
        bell = np.exp(-(across**2) / (2 * sigma**2))
        expected = np.outer(bell, bell) / bell.sum() ** 2
        np.testing.assert_allclose(blurred, expected, atol=0.12 * expected.max() + 1 / 255)


def test_blur_draws_its_strength_from_the_range_and_happens_with_its_probability():
    torch.manual_seed(0)
    contrasts = [np.asarray(RandomBlur(1.0, (0.5, 3.0))(noise())).std() for _ in range(60)]
    ends = [np.asarray(noise().filter(ImageFilter.GaussianBlur(sigma))).std() for sigma in (3.0, 0.5)]
    assert ends[0] <= min(contrasts) < max(contrasts) <= ends[1]
    assert max(contrasts) - min(contrasts) > 0.6 * (ends[1] - ends[0])
    same = [np.array_equal(np.asarray(RandomBlur(0.3, (1, 2))(noise())), np.asarray(noise())) for _ in range(300)]
    assert np.mean(same) == pytest.approx(0.7, abs=0.09)
    assert RandomBlur(1.0, (2.0, 2.0))(Image.new("RGB", (1, 1))).size == (1, 1)


def test_a_grey_patch_is_a_rectangle_of_grey_levels():
    torch.manual_seed(0)
    picture = torch.rand(3, 40, 60)
    before = picture.clone()
    for _ in range(50):
        changed = GreyPatch(1.0, (0.1, 0.3), RATIO)(picture)
        inside = (changed != picture).any(0)
        rows, columns = inside.any(1).sum(), inside.any(0).sum()
        assert rows * columns == inside.sum()
        assert 0.08 < inside.float().mean() < 0.33
        level = 0.2989 * picture[0] + 0.587 * picture[1] + 0.114 * picture[2]
        torch.testing.assert_close(changed[:, inside], level[inside].expand(3, -1))
    assert torch.equal(picture, before)
    happened = [not torch.equal(GreyPatch(0.25, AREA, RATIO)(picture), picture) for _ in range(400)]
    assert np.mean(happened) == pytest.approx(0.25, abs=0.07)


def test_whole_pictures_lose_their_colours():
    torch.manual_seed(0)
    as_it_is = Preprocessing(32, 48, mean=(0, 0, 0), deviation=(1, 1, 1))
    transform = training_transform(as_it_is, AugmentationSettings(**OFF, grey_pictures=0.4))
    grey = []
    for _ in range(200):
        red, green, blue = transform(noise())
        grey.append(torch.equal(red, green) and torch.equal(red, blue))
    assert np.mean(grey) == pytest.approx(0.4, abs=0.1)


FORMER_SUMS = [2283.0942, 1543.309, 2214.8988, 1659.2947]

EVERYTHING = {
    "pad": 2,
    "policy": "randaugment",
    "blur": 0.5,
    "grey_pictures": 0.2,
    "grey_patches": 0.5,
    "jitter": True,
    "pca_colour": 0.5,
    "erasing": 0.5,
    "translation": 0.5,
    "flip": 0.5,
    "centre_crop": 0.9,
}


def test_all_changes_go_together():
    transform = training(**EVERYTHING)
    torch.manual_seed(0)
    for _ in range(20):
        tensor = transform(noise())
        assert tensor.shape == (3, 32, 48)
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("name", ["pad", "policy", "blur", "grey_pictures", "grey_patches"])
def test_what_is_off_draws_nothing(name):
    """The picture and the random numbers that are left are those of a recipe that lacks the option."""
    before = {"jitter": True, "pca_colour": 0.5, "erasing": 0.5, "translation": 0.5, "flip": 0.5}
    results = []
    for options in (before, before | {name: "none" if name == "policy" else 0}):
        torch.manual_seed(7)
        results.append((training(**options)(noise()), torch.get_rng_state()))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_the_reports_changes_are_as_before():
    """Sums of one picture under the report's options, as they came out before there were others."""
    torch.manual_seed(1)
    transform = training(translation=0.5, flip=0.5, jitter=True, pca_colour=0.5, erasing=0.5, centre_crop=0.893)
    sums = [float(transform(noise()).double().sum()) for _ in range(4)]
    assert sums == pytest.approx(FORMER_SUMS, rel=1e-6)
