"""The report of an evaluation: one HTML file that needs nothing beside it, and ranked lists as a picture."""

from samecar.evaluation.report.page import write_report
from samecar.evaluation.report.ranked import RankedPicture, RankedQuery, draw_ranked_lists

__all__ = ["RankedPicture", "RankedQuery", "draw_ranked_lists", "write_report"]
