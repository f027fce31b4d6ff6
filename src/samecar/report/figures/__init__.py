"""Figures of models, runs and data; each function gives a matplotlib figure, which `style.save_figure` writes."""
