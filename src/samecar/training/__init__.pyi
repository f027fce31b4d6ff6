# The names of this package, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is
# used.

from .groups import parameter_groups as parameter_groups
from .learner import Learner as Learner
from .loop import fit as fit
from .optim import build_optimizer as build_optimizer
from .rates import learning_rate as learning_rate
from .run import Run as Run
from .run import RunData as RunData
