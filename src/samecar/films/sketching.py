"""Pictures to look at: frames of a film with the boxes and numbers of the tracks in them."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from samecar.files import write_file
from samecar.films.detection import Detections
from samecar.films.sources.base import Frame
from samecar.films.tracking import Track

COLOURS = ("#ffd400", "#00c8ff", "#ff6ec7", "#7dff4f", "#ff8c1a", "#c9a0ff")
"""A track keeps one of these; its number tells it from others of the same colour."""

UNTRACKED = "#b0b0b0"
"""Of boxes that belong to no track, or to one that has yet to be seen often enough."""


class Sketcher:
    """Draws a frame every so many seconds.

    Args:
        folder: to write FILM-TIME.png into, made if it is not there.
        film: the film's name.
        sure: confidence from which detections without a track are drawn too.
        every: seconds from one drawn frame to the next.
    """

    def __init__(self, folder: Path, film: str, sure: float, every: float = 1.0) -> None:
        self._folder = folder
        self._film = film
        self._sure = sure
        self._every = every
        self._due = 0.0

    def __call__(self, frame: Frame, detections: Detections, tracks: dict[int, Track]) -> None:
        """Draws the frame if it is time to."""
        if frame.time < self._due:
            return
        self._due = (frame.time // self._every + 1) * self._every
        picture = Image.fromarray(frame.picture)
        draw = ImageDraw.Draw(picture)
        font = ImageFont.load_default(size=max(12, picture.height // 30))
        for i, (box, confidence, kind) in enumerate(
            zip(detections.boxes.tolist(), detections.confidences.tolist(), detections.kinds, strict=True)
        ):
            track = tracks.get(i)
            number = track.number if track else 0
            if not number and confidence < self._sure:
                continue
            colour = COLOURS[number % len(COLOURS)] if number else UNTRACKED
            text = f"{number}: {kind} {confidence:.2f}" if number else f"{kind} {confidence:.2f}"
            draw.rectangle(box, outline=colour, width=2)
            _write(draw, text, box, picture.width, colour, font)
        with write_file(self._folder / f"{self._film}-{frame.time:08.2f}.png") as temporary:
            picture.save(temporary)


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: list[float],
    limit: int,
    colour: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Writes a text above a box, so that the vehicle is seen, but within a frame that is `limit` pixels wide."""
    _, _, width, height = draw.textbbox((0, 0), text, font=font)
    width, height = width + 4, height + 3
    left = max(0, min(box[0], limit - width))
    top = max(0, box[1] - height)
    draw.rectangle((left, top, left + width, top + height), fill=colour)
    draw.text((left + 2, top + 1), text, fill="#000000", font=font)
