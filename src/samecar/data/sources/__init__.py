"""Data sets on disk: a reader for each layout, and one door to them all."""
