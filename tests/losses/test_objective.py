"""The objective: which losses it has, what each reads, how it adds them, and what it refuses."""

import pytest
import torch
from loss_batches import Network, Outputs, Part, Place, batch, outputs, part

from samecar.config import BatchSettings, LossSettings, ModelSettings
from samecar.errors import SamecarError
from samecar.losses import LOSSES
from samecar.losses.cross_entropy import cross_entropy
from samecar.losses.objective import Objective, mines_by_camera, refuse_batches, refuse_losses
from samecar.losses.triplet import batch_hard_triplet


def settings(**options: object) -> LossSettings:
    """Losses of a recipe, with cross-entropy and triplet off unless they are given."""
    return LossSettings.model_validate({"cross_entropy": 0, "triplet": 0} | options)


def model(**options: object) -> ModelSettings:
    return ModelSettings.model_validate(options)


def test_every_group_of_options_has_its_loss() -> None:
    assert set(LOSSES) == set(LossSettings().groups())
    assert all(loss.name == name for name, loss in LOSSES.items())


def test_losses_under_autocast_equal_those_without() -> None:
    features, labels = batch(4, 4, 32, seed=1)
    plain = batch_hard_triplet(features, labels, 0.3), cross_entropy(features, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = batch_hard_triplet(features, labels, 0.3), cross_entropy(features, labels)
    assert [loss.dtype for loss in mixed] == [torch.float32, torch.float32]
    assert torch.equal(torch.stack(plain), torch.stack(mixed))


def test_objective_names_its_losses_and_weighs_their_sum() -> None:
    features, labels = batch(4, 2, 8, seed=2)
    logits = features @ torch.ones(8, 4)
    objective = Objective(LossSettings(cross_entropy=0.5, triplet=2, margin=1, label_smoothing=0.1), Network())
    losses = objective(outputs(features, logits), labels)
    assert list(losses) == ["cross_entropy", "triplet", "total"]
    assert losses["cross_entropy"] == cross_entropy(logits, labels, 0.1)
    assert losses["triplet"] == batch_hard_triplet(features, labels, 1.0)
    torch.testing.assert_close(losses["total"], 0.5 * losses["cross_entropy"] + 2 * losses["triplet"])


def test_objective_of_before_holds_nothing_and_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    assert Objective(LossSettings(), Network()).state_dict() == {}
    assert torch.equal(torch.get_rng_state(), before)


def test_objective_leaves_out_losses_of_weight_zero() -> None:
    features, labels = batch(4, 2, 8, seed=2)
    assert list(Objective(settings(triplet=1), Network())(outputs(features), labels)) == ["triplet", "total"]
    one_vehicle = torch.zeros(8, dtype=torch.int64)
    losses = Objective(settings(cross_entropy=1), Network())(outputs(features, features), one_vehicle)
    assert list(losses) == ["cross_entropy", "total"]


def test_objective_without_any_weight_is_refused() -> None:
    with pytest.raises(SamecarError, match="nothing would be learned"):
        Objective(settings(), Network())


def test_objective_needs_logits_for_cross_entropy() -> None:
    with pytest.raises(SamecarError, match="no classifier"):
        Objective(LossSettings(), Network())(outputs(torch.rand(4, 8)), torch.tensor([0, 0, 1, 1]))


def test_objective_changes_neither_outputs_nor_labels() -> None:
    features, labels = batch(4, 2, 4, seed=5)
    given, kept = outputs(features.clone(), features.clone()), labels.clone()
    Objective(LossSettings(), Network())(given, labels)
    assert torch.equal(given.parts[0].before, features)
    assert torch.equal(given.parts[0].logits, features)
    assert torch.equal(labels, kept)


def test_with_a_neck_triplet_reads_before_and_cross_entropy_after_it() -> None:
    (before, labels), (after, _) = batch(4, 2, 8, seed=1), batch(4, 2, 8, seed=2)
    network = Network(model(neck="batch-norm"))
    given = Outputs((Part(before, after, after[:, :4]),))
    losses = Objective(LossSettings(), network)(given, labels)
    assert losses["triplet"] == batch_hard_triplet(before, labels, 0.3)
    assert losses["cross_entropy"] == cross_entropy(after[:, :4], labels)
    losses = Objective(LossSettings(triplet_feature="after"), network)(given, labels)
    assert losses["triplet"] == batch_hard_triplet(after, labels, 0.3)


FOUR_PARTS = (Place(1, 0, 8), Place(1, 1, 8), Place(1, 2, 8), Place(2, 0, 8), Place(2, 1, 8), Place(2, 2, 8))


def test_a_loss_is_the_mean_over_the_parts_that_it_reads() -> None:
    network = Network(model(branches=2, stripes=2), parts=FOUR_PARTS)
    labels = batch(4, 2, 8, seed=0)[1]
    parts = [part(features := batch(4, 2, 8, seed=seed)[0], features[:, :4]) for seed in range(6)]
    losses = Objective(LossSettings(triplet_branches=(2,)), network)(Outputs(tuple(parts)), labels)
    classified = [cross_entropy(each.logits, labels) for each in parts]
    torch.testing.assert_close(losses["cross_entropy"], torch.stack(classified).mean())
    assert losses["triplet"] == batch_hard_triplet(parts[3].before, labels, 0.3)  # a whole map alone, no stripe


def test_accuracy_is_the_mean_over_classifiers_that_a_loss_reads() -> None:
    network = Network(model(branches=2), parts=(Place(1, 0, 8), Place(2, 0, 8)))
    labels = torch.tensor([0, 1, 2, 3])
    right, wrong = torch.eye(4), torch.eye(4).roll(1, dims=0)
    half = torch.eye(4)[[0, 1, 3, 2]]
    features = torch.rand(4, 8)
    given = Outputs((part(features, right), part(features, half)))
    assert Objective(LossSettings(), network).accuracy(given, labels) == 0.75
    first = LossSettings(cross_entropy_branches=(1,))
    assert Objective(first, network).accuracy(given, labels) == 1
    # where no loss classifies, the network's own classifier is told of, as ever
    triplet = Objective(settings(triplet=1), Network())
    assert triplet.accuracy(outputs(features, wrong), labels) == 0
    assert triplet.accuracy(outputs(features), labels) is None


@pytest.mark.parametrize("name", ["arcface", "cosface", "sphereface", "circle_softmax"])
def test_accuracy_of_losses_with_class_vectors_is_that_of_the_nearest_one(name: str) -> None:
    objective = Objective(settings(**{name: {"weight": 1}}), Network(vehicles=3))
    (vectors,) = objective.parameters()
    vectors = vectors.detach() if name == "circle_softmax" else vectors.detach().T  # (vehicles, width)
    assert objective.accuracy(outputs(vectors * 7), torch.tensor([0, 1, 0])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("loss", "network", "sentence"),
    [
        ({"triplet": 1, "triplet_feature": "after"}, {}, "loss.triplet_feature is 'after' but model.neck is 'none'"),
        ({"arcface": {"weight": 1, "feature": "before"}}, {}, "loss.arcface.feature is 'before' but model.neck"),
        ({"triplet": 1, "triplet_branches": (2,)}, {}, "loss.triplet_branches names branch 2 but model.branches is 1"),
        ({"circle": {"weight": 1, "branches": (3,)}}, {"branches": 2}, "loss.circle.branches names branch 3"),
        ({"triplet": 1, "triplet_branches": (1,)}, {"branches": 2}, "no loss reads branch 2 of model.branches 2"),
        ({"triplet": 1}, {"stripes": 4}, "no loss reads the stripes of model.stripes 4 in branch 1"),
    ],
)
def test_losses_that_a_network_cannot_give_are_refused(loss, network, sentence: str) -> None:
    with pytest.raises(SamecarError, match=sentence):
        refuse_losses(settings(**loss), model(**network))


@pytest.mark.parametrize("name", ["circle", "supervised_contrastive", "soft_margin_triplet"])
def test_batches_of_one_vehicle_are_refused(name: str) -> None:
    with pytest.raises(
        SamecarError,
        match=rf"one vehicle a batch, and the {name.replace('_', ' ')} loss needs two; .* "
        rf"loss.{name}.weight to 0",
    ):
        refuse_batches(settings(**{name: {"weight": 1}}), BatchSettings(size=4, pictures_per_vehicle=4))


@pytest.mark.parametrize("name", ["circle", "supervised_contrastive"])
def test_batches_of_single_pictures_are_refused_where_pairs_are_needed(name: str) -> None:
    with pytest.raises(SamecarError, match=r"pictures_per_vehicle is 1, and the .* loss needs two pictures"):
        refuse_batches(settings(**{name: {"weight": 1}}), BatchSettings(size=4, pictures_per_vehicle=1))


def test_batches_that_every_loss_can_take_are_not_refused() -> None:
    options = {name: {"weight": 1} for name in LOSSES if name not in ("cross_entropy", "triplet")}
    refuse_batches(settings(cross_entropy=1, triplet=1, **options), BatchSettings(size=4, pictures_per_vehicle=2))
    refuse_batches(settings(cross_entropy=1, arcface={"weight": 1}), BatchSettings(size=4, pictures_per_vehicle=4))
    refuse_batches(settings(triplet=1), BatchSettings(size=4, pictures_per_vehicle=1))


def test_losses_that_read_cameras_are_named() -> None:
    assert mines_by_camera(LossSettings()) == []
    assert mines_by_camera(LossSettings(triplet=0, triplet_mining="camera")) == []
    both = settings(triplet=1, triplet_mining="camera", soft_margin_triplet={"weight": 1, "mining": "camera"})
    assert mines_by_camera(both) == ["triplet", "soft_margin_triplet"]


def test_class_vectors_begin_and_are_learned_as_others() -> None:
    torch.manual_seed(1)
    losses = {name: {"weight": 1} for name in ("arcface", "centre")}
    objective = Objective(settings(**losses), Network(vehicles=4))
    state = {name: tuple(tensor.shape) for name, tensor in objective.state_dict().items()}
    assert state == {"losses.arcface.0.library.W": (8, 4), "losses.centre.0.centres": (4, 8)}
    assert [name for name, _ in objective.named_parameters()] == ["losses.arcface.0.library.W"]
    features, labels = batch(4, 2, 8, seed=1)
    objective(outputs(features), labels)["total"].backward()
    assert next(objective.parameters()).grad.abs().sum() > 0
