"""The drawn demo set: vehicles on a road, drawn by a small renderer of our own, in VeRi-776's layout."""

from samecar.drawing.sets import DRAWING_VERSION, DrawnSet, draw_set, draw_twin

__all__ = ["DRAWING_VERSION", "DrawnSet", "draw_set", "draw_twin"]
