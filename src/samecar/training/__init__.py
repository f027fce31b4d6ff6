"""Training: optimisers, one loop, and the run folder that it writes."""

from samecar.training.groups import parameter_groups
from samecar.training.learner import Learner
from samecar.training.loop import fit
from samecar.training.optim import build_optimizer, learning_rate
from samecar.training.run import Run, RunData

__all__ = ["Learner", "Run", "RunData", "build_optimizer", "fit", "learning_rate", "parameter_groups"]
