"""The report's tables: its rows as data, run at any size, each beside the report's number."""
