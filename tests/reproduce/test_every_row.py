import numpy as np
import pytest
import torch
from PIL import Image

from samecar.data import IdentityBatches, training_transform
from samecar.experiment.train import initial_model
from samecar.losses.objective import Objective
from samecar.reproduce import Choices, Scale, all_rows, rows_by_run
from samecar.training.optim import build_optimizer
from samecar.training.rates import learning_rate

VEHICLES = 96  # as many as a batch of 384 takes
PICTURES = 4  # of a batch that are really seen: two of each of two vehicles
CHOICES = {
    as_run: Choices(as_run=as_run, scale=Scale(epochs=1, images=0.0625), changes=("model.weights=none",))
    for as_run in (False, True)
}
RUNS = {digest: (as_run, rows) for as_run in (True, False) for digest, rows in rows_by_run(CHOICES[as_run]).items()}


def test_the_runs_below_stand_for_every_row_as_printed_and_as_run():
    for choices in CHOICES.values():
        assert {row for row in all_rows() if choices.recipe(row).digest in RUNS} == set(all_rows())


def runs():
    """Every run; those whose network other runs have shown already are slow."""
    shown = set()
    for digest, (as_run, rows) in RUNS.items():
        recipe = CHOICES[as_run].recipe(rows[0])
        model = recipe.model
        parts = {(model.backbone, model.attention, model.fusion)}
        known = parts <= shown
        shown |= parts
        identifier = f"{rows[0]}{'-as-run' * as_run}"
        yield pytest.param(digest, id=identifier, marks=pytest.mark.slow if known else ())


@pytest.mark.parametrize("digest", list(runs()))
def test_a_row_trains_two_steps(digest):
    as_run, rows = RUNS[digest]
    recipe = CHOICES[as_run].recipe(rows[0])
    assert {CHOICES[as_run].recipe(row).digest for row in rows} == {digest}
    vehicle_ids = np.repeat([f"v{number:02d}" for number in range(VEHICLES)], recipe.batch.pictures_per_vehicle)
    batches = IdentityBatches(vehicle_ids, recipe.batch.size, recipe.batch.pictures_per_vehicle, seed=1)
    assert {len(batch) for batch in batches} == {recipe.batch.size}

    model = initial_model(recipe, VEHICLES).train()
    transform = training_transform(model.preprocessing, recipe.augmentation)
    noise = np.random.default_rng(1).integers(0, 256, (PICTURES, 40, 40, 3), dtype=np.uint8)
    pictures = torch.stack([transform(Image.fromarray(picture)) for picture in noise])
    labels = torch.tensor([0, 0, 1, 1])
    rate = learning_rate(recipe.schedule, recipe.optimizer.learning_rate, 0, recipe.training.epochs)
    optimizer = build_optimizer(model.parameters(), recipe.optimizer)
    for group in optimizer.param_groups:
        group["lr"] = rate
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for _ in range(2):
        outputs = model.outputs(pictures)
        losses = Objective(recipe.loss, model)(outputs, labels)
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
        assert torch.isfinite(losses["total"])
    assert pictures.shape == (PICTURES, 3, recipe.model.height, recipe.model.width)
    assert outputs.features.shape == (PICTURES, model.embedding_size)
    assert outputs.logits.shape == (PICTURES, VEHICLES)
    assert all(parameter.grad is not None for parameter in model.parameters())
    changed = [not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]
    assert all(changed)
