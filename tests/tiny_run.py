"""A run that nobody trained: a tiny network with random weights, made in a moment."""

from pathlib import Path

import torch
from conftest import TINY

from samecar.config import load_recipe
from samecar.models import build_embedder
from samecar.training import Run, RunData


def tiny_run(folder: Path, seed: int = 1) -> Run:
    """Makes a run folder; another seed is another model."""
    recipe = load_recipe("report-baseline", TINY)
    run = Run.create(folder, recipe, RunData("painted", "0" * 16, 6, ["a", "b", "c"]))
    torch.manual_seed(seed)
    run.save_model(build_embedder(recipe.model, 3), "model", epoch=0, epoch_choice="untrained")
    return run
