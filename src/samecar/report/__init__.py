"""What people look at: the report of an evaluation as one HTML file, sheets of found pictures, and figures."""

from samecar.report.page import write_report

__all__ = ["write_report"]
