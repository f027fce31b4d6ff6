"""Vehicle re-identification: train, compare honestly, and search."""

__version__ = "0.1.0"
