"""A run that nobody trained: a tiny network with random weights, made in a moment."""

from collections.abc import Sequence
from pathlib import Path

import torch
from conftest import TINY

from samecar.config import load_recipe
from samecar.models import build_embedder
from samecar.training import Run, RunData


def tiny_run(folder: Path, seed: int = 1, changes: Sequence[str] = (), data: RunData | None = None) -> Run:
    """Makes a run folder; another seed is another model.

    With data the run has the record of all of its epochs, so that it may be scored on what the data leave.
    """
    recipe = load_recipe("report-baseline", [*TINY, *changes])
    run = Run.create(folder, recipe, data or RunData("painted", "0" * 16, 6, ["a", "b", "c"]))
    torch.manual_seed(seed)
    run.save_model(build_embedder(recipe.model, len(run.data.vehicles)), "model", epoch=0, epoch_choice="untrained")
    for epoch in range(recipe.training.epochs if data else 0):
        run.append_metrics({"epoch": epoch + 1, "loss": 1.0})
    return run
