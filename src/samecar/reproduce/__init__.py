"""The report's tables: its rows as data, run at any size, each beside the report's number."""

from samecar.reproduce.command import Reproduction, reproduce
from samecar.reproduce.rows import choose_rows, find_row, report_tables
from samecar.reproduce.runs import Choices, Outcome, PlannedRun, all_rows, plan_runs, rows_by_run
from samecar.reproduce.scaling import Scale

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
