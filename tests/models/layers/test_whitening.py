"""The learned whitening beside numbers by hand, a naive loop and scikit-learn."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from samecar.config import ModelSettings, load_recipe
from samecar.data import open_source
from samecar.errors import SamecarError
from samecar.experiment.train import train
from samecar.models import build_embedder
from samecar.models.layers.whitening import Whitening, learn_whitening

TINY = {"backbone": "test_resnet", "weights": "none", "height": 32, "width": 32}


def vehicles_with(counts, width, seed=1):
    """Features of vehicles, of which the first number differs much between pictures of one vehicle."""
    generator = np.random.default_rng(seed)
    names = np.repeat([f"v{number}" for number in range(len(counts))], counts)
    features = np.repeat(generator.normal(0, 1, (len(counts), width)), counts, axis=0)
    noise = generator.normal(0, 0.3, features.shape) @ generator.normal(0, 1, (width, width))
    noise[:, 0] *= 5
    return features + noise, names


def naive_within(features, names):
    """The covariance of pictures about their vehicle's mean, one picture after the other."""
    scaled = (features - features.mean(0)) / features.std(0)
    total = np.zeros((features.shape[1],) * 2)
    for name in set(names):
        own = scaled[names == name]
        for picture in own:
            total += np.outer(picture - own.mean(0), picture - own.mean(0))
    return total / (len(names) - len(set(names)))


def test_two_numbers_by_hand():
    # deviations are 3 and 1; scaled, pictures of a vehicle differ by (2, 0) / 3 and (0, 2), twice each
    features = np.array([[2.0, 0], [4, 0], [-3, 1], [-3, -1]])
    features = np.concatenate([features, -features])
    names = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])
    deviation = features.std(0)
    within = np.diag([4 / 4 * 1, 4 / 4 * 1]) / deviation**2  # sums of squares 4 and 4, freedom 4
    mean, matrix = learn_whitening(features, names, 1e-12)
    np.testing.assert_allclose(mean, [0, 0])
    np.testing.assert_allclose(matrix, np.diag(1 / np.sqrt(np.diag(within))) / deviation, atol=1e-9)


@pytest.mark.parametrize("shrinkage", [1e-3, 0.3, 3.0])
def test_it_is_a_root_of_the_inverse_that_a_loop_gives(shrinkage):
    features, names = vehicles_with([2, 3, 1, 5, 2, 2, 4], 6)
    mean, matrix = learn_whitening(features, names, shrinkage)
    within = naive_within(features, names)
    shrunk = within + shrinkage * np.diag(within).mean() * np.eye(6)
    scale = np.diag(1 / features.std(0))
    np.testing.assert_allclose(matrix.T @ matrix, scale @ np.linalg.inv(shrunk) @ scale, rtol=1e-8)
    np.testing.assert_allclose(mean, features.mean(0))


def test_distances_are_those_of_linear_discriminant_analysis():
    """With as many directions as there are numbers, and without shrinkage, both measure Mahalanobis's distance."""
    features, names = vehicles_with([6] * 12, 5)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(features, names).transform(features)
    mean, matrix = learn_whitening(features, names, 1e-12)
    ours = (features - mean) @ matrix.T
    ratios = [np.sum((ours[a] - ours[b]) ** 2) / np.sum((theirs[a] - theirs[b]) ** 2) for a, b in [(0, 9), (3, 40)]]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)


def test_vehicles_are_told_apart_better():
    features, names = vehicles_with([4] * 60, 16)
    mean, matrix = learn_whitening(features[:160], names[:160], 0.1)
    held_out, own = features[160:], names[160:]

    def share_found(embeddings):
        distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2) + np.diag([np.inf] * len(own))
        return np.mean(own[distances.argmin(1)] == own)

    assert share_found((held_out - mean) @ matrix.T) > share_found(held_out) + 0.2


def test_numbers_that_never_change_do_no_harm():
    features, names = vehicles_with([2, 2, 3], 4)
    features[:, 2] = 7
    mean, matrix = learn_whitening(features, names, 0.5)
    assert np.isfinite(matrix).all()
    assert mean[2] == 7
    assert np.isfinite(learn_whitening(np.ones((4, 3)), np.array(["a", "a", "b", "b"]), 1.0)[1]).all()


def test_single_pictures_teach_nothing():
    with pytest.raises(SamecarError, match="no train vehicle has two pictures to compare"):
        learn_whitening(np.eye(3), np.array(["a", "b", "c"]), 1.0)


def test_single_pictures_are_refused_before_training(painted_source, tmp_path):
    manifest = open_source(painted_source)
    training = np.flatnonzero(manifest.split == "train")
    first = np.unique(manifest.vehicle_id[training], return_index=True)[1]
    recipe = load_recipe("demo", ["training.epochs=1"])
    with pytest.raises(SamecarError, match="no train vehicle has two pictures to compare"):
        train(recipe, manifest.select(training[first]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_layer_changes_nothing_until_it_has_learned_and_after_it_has_forgotten():
    layer, features = Whitening(4, 0.5), torch.randn(5, 4)
    assert torch.equal(layer(features), features)
    learned, names = vehicles_with([2, 2, 3], 4)
    layer.learn(learned, names)
    mean, matrix = learn_whitening(learned, names, 0.5)
    np.testing.assert_allclose(layer(features).numpy(), (features.numpy() - mean) @ matrix.T, rtol=1e-4, atol=1e-5)
    layer.forget()
    assert torch.equal(layer(features), features)


def test_a_network_ends_with_it():
    plain = build_embedder(ModelSettings.model_validate(TINY), 3).eval()
    model = build_embedder(ModelSettings.model_validate({**TINY, "whitening": "learned"}), 3).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    pictures = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        before = plain(pictures)
        assert torch.equal(model(pictures), before)
    features, names = vehicles_with([2, 2, 3], model.embedding_size)
    model.whitening.learn(features, names)
    with torch.inference_mode():
        assert torch.equal(model(pictures), model.whitening(before))
        assert torch.equal(model.outputs(pictures).parts[0].before, plain.outputs(pictures).parts[0].before)


def test_shrinkage_without_whitening_is_refused():
    with pytest.raises(ValidationError, match="whitening is 'none'"):
        ModelSettings.model_validate({**TINY, "whitening_shrinkage": 0.5})
