"""Training: optimisers, one loop, and the run folder that it writes."""

from samecar.training.loop import fit
from samecar.training.optim import build_optimizer, learning_rate
from samecar.training.run import Run, RunData

__all__ = ["Run", "RunData", "build_optimizer", "fit", "learning_rate"]
