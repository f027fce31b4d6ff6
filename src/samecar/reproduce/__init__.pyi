# The names of this package, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is
# used.

from .choices import Choices as Choices
from .command import Reproduction as Reproduction
from .command import reproduce as reproduce
from .estimating import Estimate as Estimate
from .estimating import Plan as Plan
from .rows import choose_figures as choose_figures
from .rows import choose_rows as choose_rows
from .rows import find_row as find_row
from .rows import report_figures as report_figures
from .rows import report_tables as report_tables
from .runs import PlannedRun as PlannedRun
from .runs import all_rows as all_rows
from .runs import plan_runs as plan_runs
from .runs import rows_by_run as rows_by_run
from .scaling import Scale as Scale
from .sharing import Outcome as Outcome
