"""Pictures that threads read are those that one thread makes by torchvision's classes and torch's global generator."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from samecar.config import AugmentationSettings
from samecar.data import Delivery, IdentityBatches, class_numbers, open_source, training_loader, training_transform
from samecar.data.chance import DRAWING, DrawFrom
from samecar.data.changes import CentreCrop, GreyPatch, PCAColour, RandomBlur, RandomErasing, RandomTranslation
from samecar.data.picture_batches import AHEAD, read_ahead
from samecar.data.pictures import read_picture
from samecar.preprocessing import Preprocessing

MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
SIZE = (24, 36)

STRONG = {"jitter": True, "jitter_saturation": 0.3, "jitter_hue": 0.2, "pca_colour": 0.6, "erasing": 0.6}
RECIPES = {
    "the defaults": {},
    "none": {"translation": 0.0, "flip": 0.0},
    "the report's": {"centre_crop": 0.893, "jitter": True, "pca_colour": 0.5, "erasing": 0.5},
    "strong": {**STRONG, "pad": 3, "blur": 0.5, "grey_pictures": 0.3, "grey_patches": 0.6},
    **{name: {**STRONG, "policy": name} for name in ("autoaugment", "randaugment", "trivialaugment")},
    "seldom": {"policy": "trivialaugment", "policy_probability": 0.5, "grey_patches": 0.5},
}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Eight vehicles with three noisy JPEG pictures of different sizes each, some of which are decoded smaller."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(24):
        random = np.random.default_rng(number)
        height, width = random.integers(20, 200, 2)
        coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        coarse.resize((int(width), int(height))).save(folder / f"v{number % 8}_c{number // 8}.jpg", quality=90)
    return open_source(f"folder:{folder}/{{vehicle_id}}_{{camera_id}}.jpg")


def restated(preprocessing, settings):
    """The transformation as it stood before threads read: one step after the other, by the global generator."""
    height, width = preprocessing.height, preprocessing.width
    smooth = v2.InterpolationMode.BILINEAR
    policies = {
        "autoaugment": lambda: v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET, interpolation=smooth),
        "randaugment": lambda: v2.RandAugment(2, 9, num_magnitude_bins=31, interpolation=smooth),
        "trivialaugment": lambda: v2.TrivialAugmentWide(interpolation=smooth),
    }
    strengths = {name: getattr(settings, f"jitter_{name}") for name in ("brightness", "contrast", "saturation", "hue")}
    steps = [
        settings.centre_crop < 1 and CentreCrop(settings.centre_crop),
        RandomTranslation(height, width, settings.translation, preprocessing.reading),
        settings.pad and v2.RandomCrop((height, width), padding=settings.pad),
        settings.flip and v2.RandomHorizontalFlip(settings.flip),
        settings.policy != "none" and v2.RandomApply([policies[settings.policy]()], settings.policy_probability),
        settings.blur and RandomBlur(settings.blur, settings.blur_sigma),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        settings.jitter and v2.ColorJitter(**strengths),
        settings.pca_colour and PCAColour(settings.pca_colour),
        settings.grey_pictures and v2.RandomGrayscale(settings.grey_pictures),
        settings.grey_patches
        and GreyPatch(settings.grey_patches, settings.grey_patches_area, settings.grey_patches_ratio),
        v2.Normalize(list(preprocessing.mean), list(preprocessing.deviation)),
        settings.erasing and RandomErasing(settings.erasing, settings.erasing_area, settings.erasing_ratio),
    ]
    return v2.Compose([step for step in steps if step])


def by_the_global_generator(train, draw, preprocessing, transform):
    picture = read_picture(train.absolute_path(draw.row), preprocessing.decoded_size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(draw.seed)
        return transform(picture)


@pytest.mark.parametrize("reading", ["exact", "quick"])
@pytest.mark.parametrize("name", RECIPES)
def test_threads_give_the_pictures_that_one_step_after_the_other_gives(train, name, reading):
    preprocessing = Preprocessing(*SIZE, MEAN, DEVIATION, reading)
    settings = AugmentationSettings(**RECIPES[name])
    labels, batches = class_numbers(train.vehicle_id), IdentityBatches(train.vehicle_id, 8, 2, seed=5)
    naive = restated(preprocessing, settings)
    expected = [[by_the_global_generator(train, draw, preprocessing, naive) for draw in plan] for plan in batches]
    transform = training_transform(preprocessing, settings)
    for threads in (0, 2, 8):
        for channels_last in (False, True):
            delivery = Delivery(channels_last=channels_last)
            given = list(training_loader(train, labels, transform, batches, threads, delivery))
            for batch, pictures in zip(given, expected, strict=True):
                together = torch.stack(pictures)
                if channels_last:
                    assert batch.pictures.is_contiguous(memory_format=torch.channels_last)
                    torch.testing.assert_close(batch.pictures, together, rtol=1e-5, atol=1e-5)
                else:
                    assert batch.pictures.is_contiguous()
                    assert torch.equal(batch.pictures, together)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_numbers_of_a_block_are_those_of_the_global_generator(seed):
    def draw():
        return [
            torch.rand(()),
            torch.randn(3),
            torch.rand(40),
            torch.randint(7, (20,)),
            torch.randint(2, 9, size=(1,)),
            torch.randperm(9),
            torch.empty(5).uniform_(2, 3),
            torch.empty(5).normal_(),
            torch.empty(5).exponential_(),
            torch.empty(5).random_(4),
            torch.empty(5).bernoulli_(0.3),
            torch.rand(5).bernoulli(),
            torch.bernoulli(torch.full((5,), 0.4)),
            torch.normal(torch.zeros(5), 2.0),
            torch.multinomial(torch.ones(5), 3),
            torch.ones(5).multinomial(2),
        ]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = draw()
    before = torch.get_rng_state()
    with DrawFrom(seed):
        given = draw()
    assert len(given) >= len(DRAWING)
    for one, other in zip(given, expected, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_block_leaves_other_threads_and_given_generators_alone():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = torch.rand(4)
        torch.manual_seed(3)
        elsewhere = []
        with DrawFrom(8):
            thread = threading.Thread(target=lambda: elsewhere.append(torch.rand(4)))
            thread.start()
            thread.join()
            named = torch.rand(4, generator=torch.Generator().manual_seed(3))
        assert torch.equal(elsewhere[0], expected)
        assert torch.equal(named, expected)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_reading_ahead_keeps_the_order_and_reads_no_more_than_it_says(threads):
    asked = []

    def plan():
        for number in range(9):
            asked.append(number)
            yield [10 * number, 10 * number + 1]

    found = read_ahead(plan(), lambda item: -item, threads)
    assert next(found) == [0, -1]
    assert asked == list(range(1 + AHEAD * (threads > 0)))
    assert list(found) == [[-10 * number, -10 * number - 1] for number in range(1, 9)]


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_is_raised_at_its_batch_and_threads_end(threads):
    def read(item):
        if item == 3:
            raise ValueError("item 3")
        return item

    before = threading.active_count()
    found = read_ahead([[1, 2], [3, 4], [5]], read, threads)
    assert next(found) == [1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(found)
    assert threading.active_count() == before


def test_whoever_stops_early_ends_the_threads(train):
    before = threading.active_count()
    labels, batches = class_numbers(train.vehicle_id), IdentityBatches(train.vehicle_id, 8, 2)
    transform = training_transform(Preprocessing(*SIZE, MEAN, DEVIATION), AugmentationSettings())
    loader = iter(training_loader(train, labels, transform, batches, 4))
    next(loader)
    assert threading.active_count() > before
    loader.close()
    assert threading.active_count() == before
