"""Weights that a network begins with: their names, their files, the layouts of other programs."""
