"""Figures of models, runs and data, as PNG and SVG that can be read when printed."""
