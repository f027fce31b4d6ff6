"""What people look at: the report of an evaluation as one HTML file, ranked lists as pictures, and figures."""

from samecar.report.page import write_report
from samecar.report.ranked import draw_ranked_lists

__all__ = ["draw_ranked_lists", "write_report"]
