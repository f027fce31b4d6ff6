"""The drawn demo set: vehicles on a road, drawn by a small renderer of our own, in VeRi-776's layout.

``draw_set`` makes up a set from a seed, ``draw_twin`` draws one for the lists of an existing set, and ``draw_vehicle``
draws a single picture. The way of a picture: ``identity`` says what a vehicle is; ``shapes``, ``mesh`` and ``shells``
give its triangles, ``paintwork``, ``sides``, ``tops`` and ``texture`` its paint; ``cameras``, ``scene`` and
``obstacles`` give its surroundings; ``picture`` puts them together with ``rasterizer``; ``sets`` and ``layout`` make
folders of pictures.
"""

from samecar.drawing.picture import draw_vehicle
from samecar.drawing.sets import DRAWING_VERSION, DrawnSet, draw_set, draw_twin

__all__ = ["DRAWING_VERSION", "DrawnSet", "draw_set", "draw_twin", "draw_vehicle"]
