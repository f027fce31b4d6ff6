"""Small damage to bytes, as drawn by a generator."""

import random

NASTY = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
"""Bytes at the edges of what counts and sizes may be."""

LONGEST = 64
"""Bytes that an edit cuts or inserts at most, unless it cuts off all the rest."""

MOST_EDITS = 8
HEAD = 128
"""Bytes in which half of the edits fall: heads say sizes."""


def mutate(content: bytes, generator: random.Random) -> bytes:
    """Content with one to `MOST_EDITS` bytes flipped, pieces cut, inserted, doubled or moved; most often few."""
    changed = bytearray(content)
    for _ in range(min(1 + int(generator.expovariate(0.7)), MOST_EDITS)):
        _edit(changed, generator)
    return bytes(changed)


def _edit(content: bytearray, generator: random.Random) -> None:
    place = generator.randrange(min(len(content), HEAD) if generator.random() < 0.5 else len(content)) if content else 0
    length = generator.randint(1, LONGEST)
    kind = generator.choice(("flip", "flip", "nasty", "number", "cut", "cut off", "insert", "double", "move"))
    if kind == "flip" and content:
        content[place] ^= 1 << generator.randrange(8)
    elif kind == "nasty" and content:
        content[place] = generator.choice(NASTY)
    elif kind == "number":
        number = generator.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        content[place : place + 4] = number.to_bytes(4, generator.choice(("big", "little")))
    elif kind == "cut":
        del content[place : place + length]
    elif kind == "cut off" and generator.random() < 0.3:
        del content[place:]
    elif kind == "insert":
        content[place:place] = generator.randbytes(length)
    elif kind == "double":
        content[place:place] = content[place : place + length]
    elif kind == "move":
        piece = content[place : place + length]
        del content[place : place + length]
        place = generator.randint(0, len(content))
        content[place:place] = piece
