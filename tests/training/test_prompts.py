"""Learning prompts on a tiny random text tower: the texts come to fit, nothing else changes, and what is kept."""

import pytest
import torch
from tiny_clip import WIDTH, register

from samecar.config import PromptSettings
from samecar.errors import SamecarError
from samecar.models.texts.prompts import VehiclePrompts
from samecar.models.texts.text_tower import build_text_tower
from samecar.training.prompts import LearnedPrompts, check_vehicles, learn_prompts, read_texts

VEHICLES = 4


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    return build_text_tower(register(tmp_path_factory.mktemp("clip")), "none", seed=1)


@pytest.fixture(scope="module")
def features():
    """Features of six pictures of each vehicle, around a centre of its own."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(VEHICLES, WIDTH, generator=generator)
    labels = torch.arange(VEHICLES).repeat(6)
    return centres[labels] + 0.1 * torch.randn(len(labels), WIDTH, generator=generator), labels


def settings_with(**changes):
    given = {"epochs": 12, "batch_size": 8, "learning_rate": 0.05, "warmup_epochs": 2}
    return PromptSettings(text_tower="tiny-clip", weights="none", **{**given, **changes})


def learned(tower, features, seed=1, progress=None, **changes):
    settings = settings_with(**changes)
    prompts = VehiclePrompts(tower, settings, VEHICLES, seed)
    learn_prompts(prompts, *features, settings, seed=seed, **({"progress": progress} if progress else {}))
    return prompts


def found(prompts, features):
    """How likely each picture's own text is among all texts, on average in logarithms."""
    pictures, labels = features
    scores = pictures @ read_texts(prompts, batch_size=3).T
    return scores.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean().item()


def test_texts_come_to_fit_their_pictures(tower, features):
    before = VehiclePrompts(tower, settings_with(), VEHICLES, seed=1)
    after = learned(tower, features)
    assert found(after, features) > found(before, features) + 0.5


def test_only_the_learned_tokens_change(tower, features):
    kept = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    given = [tensor.clone() for tensor in features]
    before = VehiclePrompts(tower, settings_with(), VEHICLES, seed=1)
    after = learned(tower, features, epochs=3)
    assert all(torch.equal(tower.state_dict()[name], tensor) for name, tensor in kept.items())
    assert all(torch.equal(now, then) for now, then in zip(features, given, strict=True))
    assert torch.equal(before.beginning, after.beginning)
    assert torch.equal(before.ending, after.ending)
    assert (before.learned != after.learned).flatten(1).any(dim=1).all()


def test_learning_is_seeded_and_draws_no_random_numbers_of_torch(tower, features):
    state = torch.get_rng_state()
    first, again = (learned(tower, features, epochs=3).learned for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, learned(tower, features, epochs=3, seed=2).learned)


def test_one_step_is_adams(tower, features):
    """Adam's first step is the rate, a hundredth of it in the warm-up, against the sign of the gradient."""
    after = learned(tower, features, epochs=2, warmup_epochs=1, batch_size=24, learning_rate=1e-3)
    before = VehiclePrompts(tower, settings_with(), VEHICLES, seed=1)
    steps = (after.learned - before.learned).abs()
    assert steps.max().item() == pytest.approx(1e-5 + 1e-3, rel=0.02)


def test_progress_ends_at_the_last_batch(tower, features):
    told = []
    learned(tower, features, epochs=5, progress=lambda *said: told.append(said))
    assert [(task, done, total) for task, done, total, _ in told] == [("prompts", 10, 15), ("prompts", 15, 15)]
    assert told[-1][3].startswith("epoch 5/5  loss ")


def test_a_loss_that_is_not_finite_is_refused(tower, features):
    pictures, labels = features
    with pytest.raises(SamecarError, match=r"loss of the prompts is nan in epoch 4; lower prompts.learning_rate"):
        learned(tower, (pictures * float("inf"), labels))


def test_all_texts_are_read_in_the_order_of_the_vehicles(tower):
    prompts = VehiclePrompts(tower, settings_with(), VEHICLES, seed=1)
    texts = read_texts(prompts, batch_size=3)
    assert texts.shape == (VEHICLES, WIDTH)
    one_by_one = torch.cat([prompts(torch.tensor([vehicle])) for vehicle in range(VEHICLES)])
    torch.testing.assert_close(texts, one_by_one.detach())


def test_what_was_learned_is_kept(tmp_path):
    kept = LearnedPrompts(("b", "ä", "c"), torch.randn(3, 4, 16), torch.randn(3, WIDTH), {"text_tower": "tiny-clip"})
    path = tmp_path / "prompts.safetensors"
    kept.save(path)
    read = LearnedPrompts.load(path)
    assert read.vehicles == kept.vehicles
    assert read.origin == kept.origin
    assert torch.equal(read.tokens, kept.tokens)
    assert torch.equal(read.texts, kept.texts)
    check_vehicles(read, ["b", "ä", "c"], path)
    with pytest.raises(SamecarError, match=r"prompts.safetensors is about other vehicles than the run"):
        check_vehicles(read, ["b", "c"], path)


@pytest.mark.parametrize("content", [None, b"", b"damaged file of some bytes"])
def test_a_damaged_file_is_refused(content, tmp_path):
    path = tmp_path / "prompts.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SamecarError, match=r"prompts.safetensors cannot be read: .*remove it, and the prompts are"):
        LearnedPrompts.load(path)
