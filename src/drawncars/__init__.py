"""Vehicles on a road, drawn by a small renderer of our own, without a GPU and without a screen.

    from drawncars import draw_vehicle

    draw_vehicle("suv", "red", vehicle=7, camera=3).save("suv.png")

`vehicle` says which individual is drawn: its model, its shade of paint, its stickers, roof racks and dents. `camera`
says from where, in which light and how well it is seen, and `position` how far it has come through that camera's view.
The same arguments give the same picture, byte for byte where it is saved the same way; what cannot be drawn is a
ValueError that says what can. `palette` has the colours and types, which are those of VeRi-776.

This package needs NumPy and Pillow alone and knows nothing of samecar, whose `samecar.drawn` makes whole data sets of
such pictures.

The way of a picture: `identity` says what a vehicle is; `shapes`, `mesh` and `shells` give its triangles, `paintwork`,
`sides`, `tops` and `texture` its paint; `cameras`, `scene` and `obstacles` give its surroundings; `picture` puts them
together with `rasterizer`.
"""

from drawncars.picture import draw_vehicle

__all__ = ["draw_vehicle"]
