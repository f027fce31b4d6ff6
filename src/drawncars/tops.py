"""The painting of a vehicle's front, bonnet, windscreen, roof and rear: one strip, in the order of the way over it."""

from drawncars.identity import Vehicle
from drawncars.mesh import Profile
from drawncars.paintwork import BLACK_TRIM, GLASS, MATT, METAL, PANEL_GAP, Sheet
from drawncars.palette import Shade, mix
from drawncars.sides import lamp_heights

HEAD_LAMP: Shade = (222, 228, 232)
TAIL_LAMP: Shade = (176, 14, 18)


def paint_cabin_top(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    """Paint the strip over the shell with the windscreen."""
    half = profile.body.width / 2 + 0.1
    _, foot, head, rear_head, rear_foot = profile.marks
    everything = (-half, half)
    sheet.rectangle((-0.3, profile.way[-1] + 0.3), everything, vehicle.paint)
    sheet.rectangle((foot, rear_foot), everything, vehicle.roof)
    if vehicle.lower is not None:
        line = profile.body.clearance + 0.52 * (profile.body.belt[0] - profile.body.clearance)
        sheet.rectangle((-0.3, profile.front(line)), everything, vehicle.lower)
        sheet.rectangle((profile.rear(line), profile.way[-1] + 0.3), everything, vehicle.lower)
    _bonnet(sheet, profile, vehicle)
    _long_stripes(sheet, vehicle, (0.05, profile.way[-1] - 0.05))
    _roof(sheet, vehicle, head, rear_head)
    _stickers(sheet, profile, vehicle)
    _windscreen(sheet, profile, vehicle)
    _front(sheet, profile, vehicle)
    _rear(sheet, profile, vehicle)


def paint_cargo_top(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    """Paint the strip over a truck's box: front wall, roof and doors."""
    half, end, paint = profile.body.width / 2, float(profile.way[-1]), vehicle.cargo
    line = mix(paint, (0, 0, 0), 0.5)
    sheet.rectangle((-0.3, end + 0.3), (-half - 0.2, half + 0.2), paint)
    top = profile.body.height
    first = profile.rear(top - 0.08)
    gloss = MATT
    sheet.rectangle((end - 0.16, end + 0.3), (-half - 0.2, half + 0.2), (58, 59, 61), gloss)
    sheet.line([(first, 0), (end - 0.16, 0)], 0.04, line)
    for side in (-1, 1):
        sheet.line([(first, side * (half - 0.1)), (end - 0.16, side * (half - 0.1))], 0.04, line)
        sheet.line([(first + 0.1, side * 0.22), (end - 0.2, side * 0.22)], 0.045, (150, 152, 155), METAL)
        sheet.rectangle((end - 0.13, end - 0.03), _sort(side * (half - 0.34), side * (half - 0.1)), TAIL_LAMP)
    sheet.rectangle((end - 0.14, end - 0.02), (-0.24, 0.24), vehicle.plate)
    for stripe in vehicle.stripes[:1]:
        height = profile.body.clearance + 0.35 * (top - profile.body.clearance)
        sheet.rectangle((profile.rear(height + 1.6 * stripe.width), profile.rear(height)), (-half, half), stripe.paint)
    for sticker in vehicle.stickers:
        if sticker.place == "rear":
            sheet.sticker(sticker, (first + 0.4 + 0.3 * sticker.up, (sticker.along - 0.5) * 1.4))


def _sort(first: float, last: float) -> tuple[float, float]:
    return min(first, last), max(first, last)


def _long_stripes(sheet: Sheet, vehicle: Vehicle, way: tuple[float, float]) -> None:
    for stripe in vehicle.stripes:
        width = 1.5 * stripe.width
        if stripe.place == "centre":
            sheet.rectangle(way, (-width, width), stripe.paint)
        elif stripe.place == "offset":
            sheet.rectangle(way, (0.22, 0.22 + 1.4 * width), stripe.paint)
        elif stripe.place == "twin":
            for side in (-1, 1):
                sheet.rectangle(way, _sort(side * 0.1, side * (0.1 + width)), stripe.paint)


def _bonnet(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    edge, foot, *_ = profile.marks
    if foot - edge < 0.5:
        return
    gap = mix(vehicle.paint, (0, 0, 0), 0.6)
    half = profile.body.width / 2 - 0.16
    for side in (-1, 1):
        sheet.line([(edge, side * (half - 0.06)), (foot, side * half)], PANEL_GAP, gap)
        sheet.line([(edge + 0.15, side * 0.34), (foot - 0.1, side * 0.5)], 0.03, mix(vehicle.paint, (0, 0, 0), 0.2))
    sheet.line([(edge, -half), (edge, half)], PANEL_GAP, gap)


def _windscreen(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    _, foot, head, rear_head, rear_foot = profile.marks
    half = profile.body.width / 2
    bus = vehicle.shape.type == "bus"
    foot_half, head_half = half - 0.1, half - profile.body.tumblehome - (0.1 if not bus else 0.06)
    for first, last, narrow in ((foot, head, 0.0), (rear_foot, rear_head, 0.04)):
        toward = 1 if last > first else -1
        if first == rear_foot and (vehicle.shape.type == "truck" or _windowless(vehicle)):
            continue
        outline = [
            (first, -foot_half + narrow),
            (first, foot_half - narrow),
            (last, head_half - narrow),
            (last, -head_half + narrow),
        ]
        sheet.polygon(outline, BLACK_TRIM, METAL)
        inset = 0.05
        inner = [
            (first + toward * inset, -foot_half + narrow + inset),
            (first + toward * inset, foot_half - narrow - inset),
            (last - toward * inset, head_half - narrow - inset),
            (last - toward * inset, -head_half + narrow + inset),
        ]
        sheet.polygon(inner, vehicle.glass, GLASS)
        middle = first + (last - first) * 0.4
        lower = [
            inner[0],
            inner[1],
            (middle, (inner[1][1] + inner[2][1]) / 2),
            (middle, (inner[0][1] + inner[3][1]) / 2),
        ]
        sheet.polygon(lower, mix(vehicle.glass, (0, 0, 0), 0.4), GLASS)
    if not bus:
        sheet.rectangle(_sort(head - 0.2, head - 0.1), (-0.12, 0.12), (12, 12, 13), MATT)
    else:  # the sign with the line's number
        sheet.rectangle((head - 0.02, head + 0.2), (-half + 0.3, half - 0.3), (16, 16, 18), METAL)
        sheet.write((head + 0.04, head + 0.15), (-0.5, 0.5), (250, 170, 40), 1)
        sheet.line([(foot, 0), (head, 0)], 0.03, BLACK_TRIM)
    for side in (-0.3, 0.32):
        sheet.line([(foot + 0.03, side), (foot + 0.1, side + 0.5)], 0.025, (10, 10, 11))


def _windowless(vehicle: Vehicle) -> bool:
    return vehicle.shape.type == "van" and len(vehicle.shape.cabin.pillars) < 2


def _roof(sheet: Sheet, vehicle: Vehicle, head: float, rear_head: float) -> None:
    half = vehicle.shape.cabin.width / 2 - vehicle.shape.cabin.tumblehome
    line = mix(vehicle.roof, (0, 0, 0), 0.25)
    if vehicle.shape.type in ("van", "bus"):
        for position in range(1, 8):
            way = head + (rear_head - head) * position / 8
            sheet.line([(way, -half), (way, half)], 0.03, line)
    if vehicle.shape.type == "bus":
        for share in (0.3, 0.68):
            way = head + (rear_head - head) * share
            sheet.rectangle((way - 0.7, way + 0.7), (-0.7, 0.7), mix(vehicle.roof, (128, 128, 128), 0.5), MATT)
            sheet.rectangle((way - 0.5, way + 0.5), (-0.5, 0.5), mix(vehicle.roof, (60, 60, 60), 0.6), MATT)
    if vehicle.sunroof and rear_head - head > 0.8:
        sheet.rectangle((head + 0.14, head + 0.72), (-0.42, 0.42), (14, 15, 17), GLASS)


def _stickers(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    edge, foot, head, rear_head, _ = profile.marks
    half = profile.body.width / 2 - 0.4
    for sticker in vehicle.stickers:
        across = (sticker.up - 0.5) * 2 * half
        if sticker.place == "bonnet" and foot - edge > 0.5:
            sheet.sticker(sticker, (edge + 0.25 + (foot - edge - 0.5) * sticker.along, across))
        elif sticker.place in ("roof", "bonnet"):
            sheet.sticker(sticker, (head + 0.3 + (rear_head - head - 0.6) * sticker.along, across))
        elif sticker.place == "rear" and vehicle.shape.cargo is None:
            low = profile.rear(profile.body.profile[profile.body.marks[4]][1] - 0.22)
            beside = 0.36 + 0.3 * abs(sticker.along - 0.5)  # of the number plate
            sheet.sticker(sticker, (low, beside if sticker.along > 0.5 else -beside))


def _front(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    body, kind = profile.body, vehicle.shape.type
    half = body.width / 2
    low, high = lamp_heights(body, kind)[0]
    bumper = profile.front(body.clearance + 0.3)
    if vehicle.bumpers != vehicle.paint:
        sheet.rectangle((-0.3, bumper), (-half, half), vehicle.bumpers)
    sheet.rectangle((-0.3, profile.front(body.clearance + 0.06)), (-half, half), BLACK_TRIM, MATT)
    mouth = (profile.front(body.clearance + 0.1), profile.front(body.clearance + 0.22))
    sheet.rectangle(mouth, (-0.5 * half, 0.5 * half), BLACK_TRIM, MATT)
    lamps, grille = (profile.front(low), profile.front(high)), (profile.front(low + 0.01), profile.front(high - 0.02))
    inner = half * (0.52, 0.6, 0.46)[vehicle.lamps]
    sheet.rectangle(grille, (-inner + 0.06, inner - 0.06), BLACK_TRIM, MATT * 4)
    if vehicle.trim[0] > 60:
        for share in (0.12, 0.5, 0.88) if vehicle.lamps != 1 else (0.5,):
            way = grille[0] + (grille[1] - grille[0]) * share
            sheet.line([(way, -inner + 0.06), (way, inner - 0.06)], 0.03, vehicle.trim, METAL)
    sheet.disc(((grille[0] + grille[1]) / 2, 0.0), 0.06, (214, 216, 220), METAL)
    for side in (-1, 1):
        slant = 0.05 * (vehicle.lamps != 1)
        sheet.polygon(
            [
                (lamps[0], side * (inner + slant)),
                (lamps[1], side * inner),
                (lamps[1], side * (half + 0.05)),
                (lamps[0] + 0.03, side * (half + 0.05)),
            ],
            HEAD_LAMP,
            GLASS,
        )
        sheet.disc(((lamps[0] + lamps[1]) / 2, side * (inner + half) / 2), 0.05, (120, 126, 132), GLASS)
        fog = profile.front(body.clearance + 0.16)
        sheet.disc((fog, side * half * 0.72), 0.06, (216, 220, 222), METAL)
    plate = profile.front(body.clearance + 0.2)
    sheet.rectangle((plate, plate + 0.12), (-0.21, 0.21), vehicle.plate)


def _rear(sheet: Sheet, profile: Profile, vehicle: Vehicle) -> None:
    body, kind = profile.body, vehicle.shape.type
    half, end = body.width / 2, float(profile.way[-1])
    bumper = profile.rear(body.clearance + 0.32)
    gap = mix(vehicle.paint, (0, 0, 0), 0.65)
    if kind == "truck":
        sheet.rectangle((profile.rear(body.height - 0.3), end), (-half, half), mix(vehicle.paint, (0, 0, 0), 0.3))
        return
    if vehicle.bumpers != vehicle.paint:
        sheet.rectangle((bumper, end + 0.3), (-half, half), vehicle.bumpers)
    sheet.rectangle((profile.rear(body.clearance + 0.06), end + 0.3), (-half, half), BLACK_TRIM, MATT)
    sheet.line([(bumper, -half), (bumper, half)], PANEL_GAP, gap)
    low, high = lamp_heights(body, kind)[1]
    lamps = (profile.rear(high), profile.rear(low))
    wide = (0.2, 0.34, 0.14)[vehicle.lamps] if kind in ("sedan", "estate", "hatchback") else 0.16
    for side in (-1, 1):
        across = _sort(side * (half - 0.08 - wide), side * (half + 0.1))
        sheet.rectangle(lamps, across, TAIL_LAMP, METAL)
        middle = (lamps[0] + lamps[1]) / 2
        sheet.rectangle((middle - 0.02, middle + 0.05), across, (236, 214, 200), METAL)
        if kind != "bus":
            sheet.line(
                [(profile.marks[4], side * (half - 0.12 - wide)), (bumper, side * (half - 0.14 - wide))], PANEL_GAP, gap
            )
    plate = profile.rear(body.clearance + (0.5 if kind in ("suv", "van", "mpv", "estate", "hatchback") else 0.36))
    sheet.rectangle((plate - 0.07, plate + 0.07), (-0.22, 0.22), vehicle.plate)
    strip = profile.rear((low + high) / 2)
    if vehicle.trim[0] > 60:
        sheet.line([(strip, -half + wide + 0.2), (strip, half - wide - 0.2)], 0.035, vehicle.trim, METAL)
    sheet.rectangle((end - 0.06, end), (0.3, 0.42), (120, 120, 122), METAL)
