"""The painting of a vehicle's sides: paint, glass, doors, trim, writing and what happened to them."""

from typing import Final

import numpy as np

from drawncars.identity import Vehicle
from drawncars.mesh import Profile
from drawncars.paintwork import BLACK_TRIM, GLASS, MATT, METAL, PAINT, PANEL_GAP, Sheet
from drawncars.palette import Shade, mix
from drawncars.shapes import Body

ROOF_BAND: Final = 0.11
"""Height of the roof's frame over the side windows."""


def paint_cabin_side(sheet: Sheet, profile: Profile, vehicle: Vehicle, side: str) -> None:
    """Paint one side of the shell with the windscreen; ``side`` is ``left`` or ``right``."""
    body, kind = profile.body, vehicle.shape.type
    start, end, high = body.start, body.end, body.height
    sheet.rectangle((start - 0.3, end + 0.3), (-0.2, high + 0.3), vehicle.paint)
    _paint_areas(sheet, profile, vehicle)
    doors = _doors(body)
    odd, odd_paint = vehicle.odd_door
    if odd >= 0 and side == "left" and doors:
        first, last = doors[odd % len(doors)]
        sheet.rectangle((first, last), (body.clearance + 0.06, high), odd_paint)
        _paint_roof_band(sheet, profile, vehicle)
    _stripes(sheet, body, vehicle)
    _bumpers(sheet, body, vehicle)
    _arches(sheet, body, vehicle)
    _windows(sheet, profile, vehicle)
    _door_lines(sheet, profile, vehicle, side)
    if vehicle.lettering is not None and kind in ("bus", "van"):
        first = body.axles[0] + 0.7
        low = 0.62 * body.belt[0]
        sheet.write((first, min(first + 1.9, body.axles[1] - 0.5)), (low, low + 0.26), vehicle.lettering, 7)
    _lamps(sheet, body, vehicle)
    _marks(sheet, body, vehicle, side)


def paint_cargo_side(sheet: Sheet, profile: Profile, vehicle: Vehicle, side: str) -> None:
    """Paint one side of a truck's box, tarpaulin or bed."""
    body, kind = profile.body, vehicle.shape.cargo_kind
    start, end, low, high = body.start, body.end, body.clearance, body.height
    paint = vehicle.cargo
    line = mix(paint, (0, 0, 0), 0.35)
    sheet.rectangle(
        (start - 0.3, end + 0.3), (low - 0.2, high + 0.3), paint, MATT * 4 if kind == "tarpaulin" else PAINT
    )
    sheet.rectangle((start - 0.3, end + 0.3), (low - 0.2, low + 0.09), (52, 53, 55), MATT)
    for d in np.arange(start + 0.02, end, 0.62 if kind == "box" else 0.5):
        sheet.line([(d, low), (d, high)], 0.035 if kind != "tarpaulin" else 0.07, line)
    if kind == "tarpaulin":
        sheet.line([(start, low + 0.42), (end, low + 0.42)], 0.05, line)
    for stripe in vehicle.stripes[:1]:
        middle = low + 0.35 * (high - low)
        sheet.rectangle((start - 0.1, end + 0.1), (middle, middle + 1.6 * stripe.width), stripe.paint)
    if vehicle.lettering is not None and high - low > 1:
        first = start + 0.5
        sheet.write((first, end - 0.6), (low + 0.8, low + 1.25), vehicle.lettering, 6)
    _marks(sheet, body, vehicle, side)


def _paint_areas(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    body = profile.body
    if vehicle.lower is not None:
        line = body.clearance + 0.52 * (body.belt[0] - body.clearance)
        sheet.rectangle((body.start - 0.3, body.end + 0.3), (-0.2, line), vehicle.lower)
    _paint_roof_band(sheet, profile, vehicle)


def _paint_roof_band(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    body = profile.body
    foot = float(np.interp(profile.marks[1], profile.way, profile.points[:, 0])) + 0.1
    rear = float(np.interp(profile.marks[4], profile.way, profile.points[:, 0]))
    sheet.rectangle((foot, rear), (body.belt[0] + 0.12, body.height + 0.3), vehicle.roof)


def _doors(body: Body) -> list[tuple[float, float]]:
    return list(zip(body.seams[:-1], body.seams[1:], strict=True))


def _stripes(sheet: Sheet, body: Body, vehicle: Vehicle) -> None:
    start, end, belt, low = body.start, body.end, body.belt[0], body.clearance
    for stripe in vehicle.stripes:
        width = stripe.width * (1.8 if vehicle.shape.type in ("bus", "truck") else 1)
        if stripe.place == "waist":
            sheet.rectangle((start - 0.1, end + 0.1), (belt - 0.16 - width, belt - 0.16), stripe.paint)
        elif stripe.place == "sill":
            sheet.rectangle((start - 0.1, end + 0.1), (low + 0.1, low + 0.1 + width), stripe.paint)
        elif stripe.place == "wedge":
            points = [(start + 0.5, low + 0.2), (end + 0.1, belt - 0.08), (end + 0.1, belt - 0.1 - 1.6 * width)]
            sheet.polygon(points, stripe.paint)


def _bumpers(sheet: Sheet, body: Body, vehicle: Vehicle) -> None:
    high = body.clearance + 0.3
    for inner, outer in ((body.start + 0.34, body.start - 0.2), (body.end - 0.34, body.end + 0.2)):
        first, last = min(inner, outer), max(inner, outer)
        if vehicle.bumpers != vehicle.paint:
            gloss = PAINT if max(vehicle.bumpers) > 60 else MATT * 3
            sheet.rectangle((first, last), (-0.2, high), vehicle.bumpers, gloss)
        sheet.line([(first, high), (last, high)], PANEL_GAP, mix(vehicle.paint, (0, 0, 0), 0.6))
    sheet.rectangle((body.start - 0.2, body.end + 0.2), (-0.2, body.clearance + 0.05), BLACK_TRIM, MATT)


def _arches(sheet: Sheet, body: Body, vehicle: Vehicle) -> None:
    radius = vehicle.shape.wheel_radius
    if vehicle.cladding:
        sheet.rectangle((body.start - 0.2, body.end + 0.2), (-0.2, body.clearance + 0.13), (40, 41, 43), MATT * 3)
    for axle in body.axles:
        if vehicle.cladding:
            sheet.disc((axle, radius), radius + 0.15, (40, 41, 43), MATT * 3)
        else:
            sheet.disc((axle, radius), radius + 0.085, mix(vehicle.paint, (0, 0, 0), 0.45))


def _windows(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    body, (first, last) = profile.body, profile.body.glazed
    if last <= first:
        return
    d = np.linspace(first, last, 60)
    sill = body.belt[0] + body.belt[1] * (d - body.start) / (body.end - body.start) + 0.035
    head = profile.top(d) - ROOF_BAND * (2.4 if vehicle.shape.type == "bus" else 1.0)
    open_ = head - sill > 0.1
    if not open_.any():
        return
    d, sill, head = d[open_], sill[open_], head[open_]
    outline = [*zip(d, sill, strict=True), *zip(d[::-1], head[::-1], strict=True)]
    sheet.polygon([(a, z) for a, z in outline], BLACK_TRIM, METAL)
    inner = [*zip(d, sill + 0.03, strict=True), *zip(d[::-1], head[::-1] - 0.025, strict=True)]
    sheet.polygon(inner, vehicle.glass, GLASS)
    # The lower part shows seats and doors instead of the sky on the other side.
    shaded = [*zip(d, sill + 0.03, strict=True), *zip(d[::-1], (0.55 * sill + 0.45 * head)[::-1], strict=True)]
    sheet.polygon(shaded, mix(vehicle.glass, (0, 0, 0), 0.45), GLASS)
    dark_posts = vehicle.shape.type not in ("van", "pickup", "suv")
    for position, (middle, width) in enumerate(body.pillars):
        post = BLACK_TRIM if dark_posts and position == 0 else vehicle.roof
        near = np.interp(middle, d, sill), np.interp(middle, d, head)
        lean = 0.04 * (1 if position else -1) * (vehicle.shape.type != "bus")
        sheet.polygon(
            [
                (middle - width / 2 - lean, near[0]),
                (middle + width / 2 - lean, near[0]),
                (middle + width / 2 + lean, near[1]),
                (middle - width / 2 + lean, near[1]),
            ],
            post,
        )
    if vehicle.trim[0] > 190 and vehicle.shape.type != "bus":
        sheet.line(zip(d, sill, strict=True), 0.035, vehicle.trim, METAL)


def _door_lines(sheet: Sheet, profile: Profile, vehicle: Vehicle, side: str) -> None:
    body = profile.body
    gap: Shade = mix(vehicle.paint, (0, 0, 0), 0.7) if max(vehicle.paint) > 60 else (70, 72, 76)
    low, belt = body.clearance + 0.08, body.belt[0] + 0.05
    for seam in body.seams:
        sheet.line([(seam, low), (seam, belt)], PANEL_GAP, gap)
    if len(body.seams) > 1:
        sheet.line([(body.seams[0], low), (body.seams[-1], low)], PANEL_GAP, gap)
    if vehicle.shape.type == "bus":
        _bus_doors(sheet, body, vehicle, side)
        return
    handle = vehicle.trim if vehicle.trim[0] > 190 else mix(vehicle.paint, (0, 0, 0), 0.5)
    for seam in body.seams[1:]:
        sheet.rectangle((seam - 0.26, seam - 0.07), (belt - 0.16, belt - 0.12), handle, METAL)
    rise = body.belt[0] - 0.3
    sheet.line(
        [(body.start + 0.4, rise - 0.03), (body.end - 0.3, rise + 0.03)],
        0.03,
        mix(vehicle.paint, (0, 0, 0), 0.22),
        PAINT,
    )
    if side == "right" and vehicle.shape.type != "truck":
        sheet.rectangle((body.end - 0.75, body.end - 0.6), (belt - 0.26, belt - 0.12), gap)
        sheet.rectangle((body.end - 0.735, body.end - 0.615), (belt - 0.245, belt - 0.135), vehicle.paint)


def _bus_doors(sheet: Sheet, body: Body, vehicle: Vehicle, side: str) -> None:
    if side != "right":
        return
    for first in (body.seams[0], (body.axles[0] + body.axles[1]) / 2 - 0.3):
        sheet.rectangle((first, first + 1.0), (body.clearance + 0.1, body.height - 0.3), BLACK_TRIM, METAL)
        for leaf in (0.05, 0.53):
            inner = (first + leaf, first + leaf + 0.42)
            sheet.rectangle(
                inner, (body.clearance + 0.2, body.height - 0.4), mix(vehicle.glass, (90, 100, 110), 0.25), GLASS
            )


def _lamps(sheet: Sheet, body: Body, vehicle: Vehicle) -> None:
    kind = vehicle.shape.type
    front, rear = lamp_heights(body, kind)
    if kind not in ("bus", "truck"):
        length = (0.34, 0.26, 0.42)[vehicle.lamps]
        low, high = front
        sheet.polygon(
            [
                (body.start - 0.1, low),
                (body.start + length * 0.7, low + 0.05),
                (body.start + length, high),
                (body.start - 0.1, high),
            ],
            (206, 214, 220),
            GLASS,
        )
        low, high = rear
        sheet.rectangle((body.end - (0.2, 0.3, 0.14)[vehicle.lamps], body.end + 0.2), (low, high), (168, 14, 18), METAL)
    else:
        sheet.rectangle((body.start - 0.1, body.start + 0.1), front, (206, 214, 220), GLASS)
    sheet.rectangle((body.start + 0.55, body.start + 0.63), (body.belt[0] - 0.3, body.belt[0] - 0.26), (230, 130, 20))


def lamp_heights(body: Body, kind: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Lower and upper edge of the head lamps, and of the tail lamps."""
    if kind == "bus":
        return (0.62, 0.86), (0.75, 1.15)
    if kind == "truck":
        return (0.66, 0.9), (0.9, 1.0)
    edge = body.profile[body.marks[0]][1]
    deck = body.profile[body.marks[4]][1]
    tall = kind in ("van", "mpv", "suv", "hatchback", "estate", "pickup")
    return (edge - 0.16, edge + 0.01), ((deck - 0.34, deck + 0.06) if tall else (deck - 0.26, deck - 0.08))


def _marks(sheet: Sheet, body: Body, vehicle: Vehicle, side: str) -> None:
    """Stickers, dents and dirt."""
    cargo = vehicle.shape.cargo is not None
    if not (cargo and body.marks):  # a truck's stickers are on what it carries
        low, high = body.clearance + 0.15, min(body.belt[0], body.height) - 0.1
        large = 1.7 if vehicle.shape.type in ("bus", "truck") else 1.0
        clear = vehicle.shape.wheel_radius + 0.3  # between the wheels, so that no arch cuts a sticker
        first, last = (body.start + 0.4, body.end - 0.4) if cargo else (body.axles[0] + clear, body.axles[1] - clear)
        for sticker in vehicle.stickers:
            if sticker.place in (side, "both"):
                middle = (first + sticker.along * (last - first), low + sticker.up * (high - low))
                sheet.sticker(type(sticker)(**{**vars(sticker), "size": sticker.size * large}), middle)
        for dent in vehicle.dents:
            if dent.place == side:
                middle = (body.start + dent.along * (body.end - body.start), low + dent.up * (high - low))
                sheet.dent(dent, middle)
    if vehicle.dirt > 0.1:
        sheet.wash((body.start - 0.2, body.end + 0.2), (0.1, body.clearance + 0.45), (112, 98, 78), vehicle.dirt)
