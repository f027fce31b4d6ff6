"""A vehicle's texture: its sides and its way over the top painted flat, as on a kit to cut out and fold.

Each sheet is painted in metres: a side in ``d`` (from the front backwards) and ``z`` (upwards), the top in the way over
it (from the front bumper's lower edge, over the roof, to the rear's) and ``y`` (to the left).
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from drawncars.identity import Dent, Sticker, Vehicle
from drawncars.palette import Shade, mix
from drawncars.shells import SheetPlace

OVERSAMPLING: Final = 2
MATT, PAINT, METAL, GLASS = 10, 110, 160, 255
"""How much of its surroundings a surface mirrors, 0 to 255."""

BLACK_TRIM: Final[Shade] = (26, 27, 29)
PANEL_GAP: Final = 0.022

Span = tuple[float, float]
Points = Iterable[tuple[float, float]]


class Canvas:
    """The whole texture while it is painted: colours, and how much each place mirrors."""

    def __init__(self, width: int, height: int) -> None:
        size = (width * OVERSAMPLING, height * OVERSAMPLING)
        self.colours = Image.new("RGB", size)
        self.gloss = Image.new("L", size, MATT)
        self._pens = (ImageDraw.Draw(self.colours), ImageDraw.Draw(self.gloss))

    def fill(self, corners: list[tuple[float, float]], paint: Shade, gloss: int) -> None:
        """Fill a polygon given in texels."""
        scaled = [(column * OVERSAMPLING, row * OVERSAMPLING) for column, row in corners]
        self._pens[0].polygon(scaled, fill=paint)
        self._pens[1].polygon(scaled, fill=gloss)

    def finish(self) -> npt.NDArray[np.float32]:
        """The texture in linear light, its last channel the gloss; (rows, columns, 4), 0 to 1."""
        colours = np.asarray(self.colours.reduce(OVERSAMPLING), dtype=np.float32) / 255
        gloss = np.asarray(self.gloss.reduce(OVERSAMPLING), dtype=np.float32) / 255
        return np.concatenate([colours**2.2, gloss[:, :, None]], axis=2)

    def soften(self, region: tuple[int, int, int, int], shade: Shade, mask: Image.Image) -> None:
        """Lay a colour over a region (in oversampled texels), as strongly as a mask says."""
        self.colours.paste(shade, region, mask)


class Sheet:
    """One side or top of a shell, painted in metres."""

    def __init__(self, canvas: Canvas, place: SheetPlace) -> None:
        self.canvas = canvas
        self.place = place

    def polygon(self, points: Points, paint: Shade, gloss: int = PAINT) -> None:
        """Fill a polygon."""
        corners = np.array(list(points), dtype=np.float64)
        if len(corners) < 3:
            return
        texels = self.place.texels(corners[:, 0], corners[:, 1])
        self.canvas.fill([(float(column), float(row)) for column, row in texels], paint, gloss)

    def rectangle(
        self, along: tuple[float, float], across: tuple[float, float], paint: Shade, gloss: int = PAINT
    ) -> None:
        """Fill a rectangle."""
        (a, b), (c, d) = along, across
        self.polygon([(a, c), (b, c), (b, d), (a, d)], paint, gloss)

    def disc(self, middle: tuple[float, float], radius: float, paint: Shade, gloss: int = PAINT) -> None:
        """Fill a circle."""
        turn = np.linspace(0, 2 * np.pi, 25)[:-1]
        along, across = middle[0] + radius * np.cos(turn), middle[1] + radius * np.sin(turn)
        self.polygon(zip(along, across, strict=True), paint, gloss)

    def line(self, points: Points, width: float, paint: Shade, gloss: int = MATT) -> None:
        """Draw a line through points."""
        corners = np.array(list(points), dtype=np.float64)
        for first, last in pairwise(corners):
            way = last - first
            aside = np.array([-way[1], way[0]]) / max(float(np.hypot(*way)), 1e-9) * width / 2
            self.polygon(
                [tuple(first + aside), tuple(last + aside), tuple(last - aside), tuple(first - aside)], paint, gloss
            )

    def sticker(self, sticker: Sticker, middle: tuple[float, float]) -> None:
        """Stick something on."""
        (a, c), r = middle, sticker.size / 2
        forms: dict[str, list[tuple[float, float]]] = {
            "square": [(a - r, c - r), (a + r, c - r), (a + r, c + r), (a - r, c + r)],
            "triangle": [(a - r, c - r), (a + r, c - r), (a, c + r)],
            "slash": [(a - r * 1.5, c - r), (a - r * 0.5, c - r), (a + r * 1.5, c + r), (a + r * 0.5, c + r)],
            "diamond": [(a - r, c), (a, c - r), (a + r, c), (a, c + r)],
        }
        if sticker.form in forms:
            self.polygon(forms[sticker.form], sticker.paint)
            return
        self.disc(middle, r, sticker.paint)
        if sticker.form == "ring":
            inner: Shade = (240, 240, 236) if sum(sticker.paint) < 420 else (30, 30, 32)
            self.disc(middle, r * 0.5, inner)

    def dent(self, dent: Dent, middle: tuple[float, float]) -> None:
        """Press the metal in: dark where it turns from the sky, light where it turns to it."""
        scale = self.place.scale * OVERSAMPLING
        radius = max(3, round(dent.radius * scale))
        column, row = self.place.texels(np.array(middle[0]), np.array(middle[1])) * OVERSAMPLING
        for shade, shift, strength in (((8, 8, 10), -0.2, 150), ((250, 250, 250), 0.36, 105)):
            mask = Image.new("L", (2 * radius, 2 * radius))
            reach = 0.72 * radius
            centre = radius * (1 + shift)
            ImageDraw.Draw(mask).ellipse(
                (radius - reach, centre - reach * 0.5, radius + reach, centre + reach * 0.5), fill=strength
            )
            mask = mask.filter(ImageFilter.GaussianBlur(radius * 0.2))
            corner = (round(float(column)) - radius, round(float(row)) - radius)
            region = (*corner, corner[0] + 2 * radius, corner[1] + 2 * radius)
            self.canvas.soften(region, shade, mask)

    def wash(self, along: Span, across: Span, paint: Shade, strength: float) -> None:
        """Lay a colour over an area, strongly at its lower edge and fading upwards."""
        corners = self.place.texels(np.array(along), np.array(across[::-1])) * OVERSAMPLING
        left, top, right, bottom = (round(float(value)) for value in corners.reshape(-1))
        if right <= left or bottom <= top:
            return
        fade = np.linspace(0, 255 * min(strength, 1), bottom - top).astype(np.uint8)
        mask = Image.fromarray(np.ascontiguousarray(np.broadcast_to(fade[:, None], (bottom - top, right - left))))
        self.canvas.soften((left, top, right, bottom), paint, mask)

    def write(self, along: Span, across: Span, paint: Shade, letters: int) -> None:
        """Unreadable lettering: strokes in a row."""
        step = (along[1] - along[0]) / letters
        low, high = across
        for letter in range(letters):
            left = along[0] + letter * step
            self.rectangle((left, left + 0.22 * step), across, paint)
            if letter % 3 != 1:
                self.rectangle((left, left + 0.7 * step), (high - (high - low) * 0.25, high), paint)
            if letter % 2 == 0:
                self.rectangle((left, left + 0.7 * step), (low, low + (high - low) * 0.25), paint)
            if letter % 4 != 2:
                self.rectangle((left + 0.48 * step, left + 0.7 * step), across, paint)


def paint_wheel(sheet: Sheet, vehicle: Vehicle, *, bare: bool) -> None:
    """A wheel seen from the side; its radius is 1."""
    sheet.rectangle((-1.1, 1.1), (-1.1, 1.1), (22, 22, 23), MATT)
    sheet.disc((0, 0), 0.8, (36, 36, 37), MATT)
    rim = vehicle.wheel_paint
    if bare:  # the steel wheel that was under the hub cap
        sheet.disc((0, 0), 0.64, (44, 42, 41), MATT)
        sheet.disc((0, 0), 0.44, (30, 29, 29), MATT)
        sheet.disc((0, 0), 0.2, (74, 68, 62), MATT)
        return
    sheet.disc((0, 0), 0.66, mix(rim, (255, 255, 255), 0.25), METAL)
    dark = (30, 31, 33)
    style = vehicle.wheel_style
    if style == 0:  # a closed cap with a ring of slots
        sheet.disc((0, 0), 0.6, rim, METAL)
        for turn in np.arange(12) * np.pi / 6:
            sheet.disc((0.48 * np.cos(turn), 0.48 * np.sin(turn)), 0.065, dark, MATT)
    elif style == 1:  # a dish
        sheet.disc((0, 0), 0.58, mix(rim, (0, 0, 0), 0.35), METAL)
        sheet.disc((0, 0), 0.4, rim, METAL)
    else:  # five, seven or ten spokes
        spokes, width = {2: (5, 0.2), 3: (7, 0.12), 4: (10, 0.08)}[style]
        sheet.disc((0, 0), 0.58, dark, MATT)
        for turn in np.arange(spokes) * 2 * np.pi / spokes + 0.3:
            tip = (0.62 * np.cos(turn), 0.62 * np.sin(turn))
            sheet.line([(0.0, 0.0), tip], width, rim, METAL)
    sheet.disc((0, 0), 0.16, mix(rim, (0, 0, 0), 0.2), METAL)
