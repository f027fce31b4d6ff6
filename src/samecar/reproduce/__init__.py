"""The report's tables: its rows as data, run at any size, each beside the report's number.

Names are loaded when they are first used: what may be chosen is known without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samecar.reproduce.choices import Choices
    from samecar.reproduce.command import Reproduction, reproduce
    from samecar.reproduce.rows import choose_rows, find_row, report_tables
    from samecar.reproduce.runs import Outcome, PlannedRun, all_rows, plan_runs, rows_by_run
    from samecar.reproduce.scaling import Scale

_MODULES = {
    "samecar.reproduce.command": ("Reproduction", "reproduce"),
    "samecar.reproduce.rows": ("choose_rows", "find_row", "report_tables"),
    "samecar.reproduce.choices": ("Choices",),
    "samecar.reproduce.runs": ("Outcome", "PlannedRun", "all_rows", "plan_runs", "rows_by_run"),
    "samecar.reproduce.scaling": ("Scale",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Choices",
    "Outcome",
    "PlannedRun",
    "Reproduction",
    "Scale",
    "all_rows",
    "choose_rows",
    "find_row",
    "plan_runs",
    "report_tables",
    "reproduce",
    "rows_by_run",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
