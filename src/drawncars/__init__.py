"""Vehicles on a road, drawn by a small renderer of our own, without a GPU and without a screen.

`draw_vehicle` draws a single picture. The way of a picture: `identity` says what a vehicle is; `shapes`, `mesh` and
`shells` give its triangles, `paintwork`, `sides`, `tops` and `texture` its paint; `cameras`, `scene` and `obstacles`
give its surroundings; `picture` puts them together with `rasterizer`.
"""

from drawncars.picture import draw_vehicle

__all__ = ["draw_vehicle"]
