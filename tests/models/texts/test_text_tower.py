"""The text tower against OpenCLIP's own reading of whole texts, and what is refused."""

import sys

import open_clip
import pytest
import torch
from tiny_clip import WIDTH, register, saved_weights

from samecar.config import PromptSettings
from samecar.errors import SamecarError
from samecar.models.texts.prompts import VehiclePrompts
from samecar.models.texts.text_tower import build_text_tower


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    return register(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def weights(name, tmp_path_factory):
    return saved_weights(name, tmp_path_factory.mktemp("weights") / "tiny.pt")


@pytest.fixture(scope="module")
def tower(name, weights):
    return build_text_tower(name, str(weights), seed=1)


def as_open_clip_reads(name, weights, text):
    model = open_clip.create_model(name, str(weights)).eval()
    with torch.no_grad():
        return model.encode_text(open_clip.get_tokenizer(name)(text))


@pytest.mark.parametrize("text", ["a red van", "", "A photo of a vehicle, seen from behind."])
def test_a_text_is_read_as_open_clip_reads_it(name, weights, tower, text):
    start, end = tower.ends
    feature = tower(tower.embed_tokens([start, *tower.read(text), end])[None])
    assert tower.width == WIDTH
    torch.testing.assert_close(feature, as_open_clip_reads(name, weights, text), atol=1e-6, rtol=1e-5)


def test_prompts_with_the_tokens_of_a_word_are_the_text_with_that_word(name, weights, tower):
    settings = PromptSettings(text_tower=name, weights="none", tokens=3)
    prompts = VehiclePrompts(tower, settings, vehicles=2, seed=1)
    (word,) = tower.read("bus")
    with torch.no_grad():
        prompts.learned[1] = tower.embed_tokens([word] * 3)
        read = prompts(torch.tensor([1, 0, 1]))
    expected = as_open_clip_reads(name, weights, "A photo of a bus bus bus vehicle.")
    torch.testing.assert_close(read[[0, 2]], expected.expand(2, -1), atol=1e-6, rtol=1e-5)
    assert not torch.allclose(read[1], read[0])


def test_prompts_differ_by_seed_alone_and_draw_no_random_numbers_of_torch(name, tower):
    settings = PromptSettings(text_tower=name, weights="none")
    state = torch.get_rng_state()
    first, again, other = (VehiclePrompts(tower, settings, vehicles=5, seed=seed).learned for seed in (1, 1, 2))
    build_text_tower(name, "none", seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (5, 4, tower.token_width)
    prompts = VehiclePrompts(tower, settings, 5, 1)
    assert [name for name, parameter in prompts.named_parameters() if parameter.requires_grad] == ["learned"]


def test_random_weights_are_seeded(name):
    first, again, other = (build_text_tower(name, "none", seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["text_projection"], other["text_projection"])


def test_nothing_of_the_tower_has_a_gradient(tower):
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert not any("visual" in key or "logit" in key for key in tower.state_dict())


def test_a_prompt_that_is_too_long_is_refused(name, tower):
    settings = PromptSettings(text_tower=name, weights="none", tokens=12)
    with pytest.raises(SamecarError, match=r"prompts.tokens 12 has 26 tokens") as caught:
        VehiclePrompts(tower, settings.model_copy(update={"template": "a {}, " + "very " * 9 + "long"}), 2, 1)
    assert "reads 20" in str(caught.value)


def test_a_prompt_as_long_as_the_tower_reads_is_taken(name, tower):
    settings = PromptSettings(text_tower=name, weights="none", tokens=12)
    length = 2 + len(tower.read("A photo of a vehicle.")) + 12
    assert length == tower.longest == 20
    assert VehiclePrompts(tower, settings, 2, 1)(torch.tensor([1])).shape == (1, WIDTH)


def test_an_unknown_tower_is_refused():
    with pytest.raises(SamecarError, match=r"'ViT-B-16-quickgel'.* did you mean ViT-B-16-quickgelu or"):
        build_text_tower("ViT-B-16-quickgel", "openai", seed=1)


def test_unknown_weights_are_refused(name):
    with pytest.raises(SamecarError, match=r"prompts.weights is 'openay'.*of 'ViT-B-16-quickgelu': openai.*, a file"):
        build_text_tower("ViT-B-16-quickgelu", "openay", seed=1)
    with pytest.raises(SamecarError, match=r"among OpenCLIP's of 'tiny-clip': none; choose"):
        build_text_tower(name, "openai", seed=1)


def test_weights_of_another_tower_are_refused(weights, tmp_path):
    wider = register(tmp_path, "wider-clip", width=32)
    with pytest.raises(SamecarError, match=r"prompts.weights '.*tiny.pt' of 'wider-clip' cannot be read"):
        build_text_tower(wider, str(weights), seed=1)


def test_a_damaged_file_is_refused(name, tmp_path):
    path = tmp_path / "damaged.pt"
    path.write_bytes(b"damaged")
    with pytest.raises(SamecarError, match=r"prompts.weights '.*damaged.pt' of 'tiny-clip' cannot be read"):
        build_text_tower(name, str(path), seed=1)


@pytest.mark.parametrize("changes", [{"no_causal_mask": True}, {"pool_type": "first"}, {"proj_bias": True}])
def test_a_text_tower_of_another_kind_is_refused(changes, tmp_path):
    other = register(tmp_path, "other-clip", **changes)
    with pytest.raises(SamecarError, match=r"'other-clip', whose text tower is not the plain one of CLIP; choose"):
        build_text_tower(other, "none", seed=1)


def test_without_the_library_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(
        SamecarError, match=r'needs open-clip-torch, which is not installed; run `pip install "\.\[clip\]"'
    ):
        build_text_tower("ViT-B-16-quickgelu", "openai", seed=1)
