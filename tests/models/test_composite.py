"""Several models as one network: what it gives equals what its models give alone, put together by hand."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from conftest import TINY
from PIL import Image

from samecar.config import load_recipe
from samecar.data.transforms import evaluation_transform
from samecar.embedding.encoder import Encoder
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.models.composite import CompositeEmbedder, without_classifier
from samecar.models.saved import save_model


@cache
def network(seed, *changes, vehicles=3):
    torch.manual_seed(seed)
    return build_embedder(load_recipe("report-baseline", [*TINY, *changes]).model, vehicles).eval()


def painting(seed, size=(90, 70)):
    """A smooth picture, so that resizing twice is nearly resizing once."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def alone(model, pictures):
    """Embeddings of length one, in float64, from pictures prepared for this model alone."""
    transform = evaluation_transform(model.preprocessing)
    with torch.no_grad():
        embeddings = model(torch.stack([transform(picture) for picture in pictures])).numpy().astype(np.float64)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def opened(model, folder):
    save_model(model, folder)
    return Encoder.open(folder, device="cpu")


PICTURES = [painting(seed) for seed in range(4)]


def test_the_cosine_of_fused_embeddings_is_the_weighted_mean_of_the_models_cosines(tmp_path):
    models = network(1), network(2, "model.embedding_size=8", "model.head=fc"), network(3, "model.pooling=max")
    weights = (0.5, 0.3, 0.2)
    fused = CompositeEmbedder(models, weights).eval()
    found = opened(fused, tmp_path).embed(PICTURES).astype(np.float64)
    expected = sum(
        weight * matrix @ matrix.T
        for weight, matrix in zip(weights, (alone(model, PICTURES) for model in models), strict=True)
    )
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-5)
    assert found.shape == (4, fused.embedding_size) == (4, sum(fused.widths))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_each_model_gets_pictures_normalised_as_it_was_trained(tmp_path):
    models = network(1), network(2, "model.backbone=mobilenetv3_small_050")
    assert models[0].preprocessing.mean != models[1].preprocessing.mean
    found = opened(CompositeEmbedder(models, (0.36, 0.64)), tmp_path).embed(PICTURES)
    first, second = (alone(model, PICTURES) for model in models)
    np.testing.assert_allclose(found, np.hstack([0.6 * first, 0.8 * second]), atol=2e-5)


def test_a_model_of_the_largest_size_gets_the_pictures_that_it_gets_alone_and_a_smaller_one_nearly(tmp_path):
    large, small = network(1, "model.height=64", "model.width=48"), network(2)
    fused = opened(CompositeEmbedder((small, large), (0.5, 0.5)), tmp_path)
    assert (fused.preprocessing.height, fused.preprocessing.width) == (64, 48)
    of_small, of_large = np.split(fused.embed(PICTURES) * np.sqrt(2), [small.embedding_size], axis=1)
    np.testing.assert_allclose(of_large, alone(large, PICTURES), atol=1e-5)
    assert ((of_small * alone(small, PICTURES)).sum(axis=1) > 0.999).all()


def test_a_reduction_is_a_linear_layer_before_the_last_normalisation(tmp_path):
    model = network(1)
    reduced = CompositeEmbedder([model], [1.0], size=5).eval()
    generator = np.random.default_rng(0)
    mean, components = (
        generator.normal(size=model.embedding_size) / 50,
        generator.normal(size=(5, model.embedding_size)),
    )
    reduced.reduction.mean.copy_(torch.from_numpy(mean))
    reduced.reduction.components.copy_(torch.from_numpy(components))
    expected = (alone(model, PICTURES) - mean) @ components.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(opened(reduced, tmp_path).embed(PICTURES), expected, atol=1e-4)


def test_composites_of_composites_are_saved_and_opened_and_differ_in_their_digest(tmp_path):
    inner = CompositeEmbedder((network(1), network(2)), (0.5, 0.5), size=6)
    torch.nn.init.normal_(inner.reduction.components)
    outer = CompositeEmbedder((inner, network(3)), (0.7, 0.3)).eval()
    encoder = opened(outer, tmp_path / "first")
    assert encoder.embedding_size == 6 + network(3).embedding_size
    with torch.no_grad():
        batch = torch.stack([evaluation_transform(outer.preprocessing)(picture) for picture in PICTURES])
        np.testing.assert_allclose(encoder.embed(PICTURES), outer(batch).numpy(), atol=1e-5)
    other = opened(CompositeEmbedder((inner, network(3)), (0.6, 0.4)), tmp_path / "second")
    assert other.digest != encoder.digest  # the weights are tensors too


def test_without_its_classifier_a_model_gives_the_same_embeddings():
    model = network(1, "model.head=fc-bn-relu-fc", "model.embedding_size=8")
    bare = without_classifier(model)
    assert bare.classifier is None
    np.testing.assert_array_equal(alone(bare, PICTURES), alone(model, PICTURES))
    assert without_classifier(bare) is bare


@pytest.mark.slow
def test_one_module_takes_a_batch_of_any_size_and_can_be_traced():
    fused = CompositeEmbedder((network(1), network(2, "model.height=64", "model.width=64")), (0.5, 0.5)).eval()
    exported = torch.export.export(
        fused, (torch.rand(2, 3, 64, 64),), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},)
    )
    batch = torch.rand(5, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(batch), fused(batch), atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", [{"parts": []}, {"parts": [{}]}, {"reduction": {"size": "many"}}, {"reduction": 3}])
def test_a_damaged_description_is_refused(change, tmp_path):
    opened(CompositeEmbedder((network(1), network(2)), (0.5, 0.5)), tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SamecarError, match=r"model\.json is no description of a model"):
        Encoder.open(tmp_path)


def test_tensors_of_another_composite_are_refused(tmp_path):
    for name, parts in (("first", (network(1), network(2))), ("second", (network(1),))):
        save_model(CompositeEmbedder(parts, [1 / len(parts)] * len(parts)), tmp_path / name)
    (tmp_path / "second" / "model.safetensors").replace(tmp_path / "first" / "model.safetensors")
    with pytest.raises(SamecarError, match="belongs to another model"):
        Encoder.open(tmp_path / "first").load()
