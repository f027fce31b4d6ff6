"""The drawn demo set: folders of vehicles that `drawncars` draws, in VeRi-776's layout, and the demo on one of them.

`draw_set` makes up a set from a seed, `draw_twin` draws one for the lists of an existing set, and `draw_vehicle` draws
a single picture.
"""

from samecar.drawn.sets import DRAWING_VERSION, DrawnSet, draw_set, draw_twin
from samecar.drawn.single import draw_vehicle

__all__ = ["DRAWING_VERSION", "DrawnSet", "draw_set", "draw_twin", "draw_vehicle"]
