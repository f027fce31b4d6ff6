"""Reading what clients send: bytes are counted as they come, pixels before they are decoded."""

import asyncio
import hashlib
import io
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, BinaryIO, ClassVar, NamedTuple

from fastapi import Request, Response, UploadFile
from fastapi.routing import APIRoute
from PIL import Image
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from samecar.data.decoding_work import estimate_work
from samecar.data.pictures import PICTURE_FORMATS, TOO_MUCH_WORK, UnreadablePictureError, decode_picture
from samecar.numerals import read_number
from samecar.retrieval.records import picture_content
from samecar.serving.admission import Visit
from samecar.serving.errors import ServiceError, invalid
from samecar.serving.settings import FILES, ServiceSettings

MULTIPART = "multipart/form-data"
"""How forms with files are sent."""

JSON = "application/json"
"""How all else is sent."""

FIELDS = 100
"""Most fields of a form: all that a form here knows, with many cameras."""

FIELD_BYTES = 100_000
"""Most bytes of a field that is no file: the largest labels, written as JSON."""


PLAIN_BYTES = 500_000
"""Most bytes of a body that brings no file: the largest labels, each letter written as JSON may write it.

Of much more a parser would make lists that take many times the memory.
"""

LARGE_PIXELS = 2_000_000
"""Pixels above which a picture is large; decoding takes up to 24 bytes of memory for each."""

LARGE_BYTES = 1_000_000
"""Bytes above which a picture is large, and lies on the disk meanwhile."""


class Weight(Enum):
    """What decoding a picture takes."""

    LIGHT = "little memory and time"
    LARGE = "much memory"
    COSTLY = "more time than a plain picture of the most pixels, and perhaps much memory"


class LimitedRequest(Request):
    """A request whose body is refused as soon as it is larger, or takes longer, than allowed.

    Args:
        request: as it came.
        visit: is told when all of the body is there.
        files: that a form may bring.
    """

    def __init__(self, request: Request, visit: Visit, files: int) -> None:
        super().__init__(request.scope, request.receive)
        self.visit = visit
        self.files = files

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Gives the body piece by piece.

        Raises:
            ServiceError: it is too large or too slow, or there is no room for the request now that it is there.
        """
        settings: ServiceSettings = self.app.state.settings
        brings_file = self.headers.get("content-type", "").lower().startswith(MULTIPART)
        most = settings.bytes if brings_file else min(settings.bytes, PLAIN_BYTES)
        too_large = ServiceError(413, "too_large", f"the body is larger than the {most:,} bytes allowed")
        stated = self.headers.get("content-length", "")
        if stated.isdigit() and int(stated) > most:
            raise too_large
        deadline = asyncio.get_running_loop().time() + settings.upload_seconds
        received = 0
        pieces = super().stream()
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                self.visit.begin()
                return
            except TimeoutError as error:
                message = f"the body took longer than the {settings.upload_seconds:g} s allowed"
                raise ServiceError(408, "too_slow", message) from error
            received += len(piece)
            if received > most:
                raise too_large
            yield piece

    def form(
        self, *, max_files: float | None = None, max_fields: float = FIELDS, max_part_size: int = FIELD_BYTES
    ) -> Any:
        """Reads a form, within limits that suit the forms of this service."""
        files = self.files if max_files is None else max_files
        return super().form(max_files=files, max_fields=max_fields, max_part_size=max_part_size)


class LimitedRoute(APIRoute):
    """A route whose requests are limited."""

    files: ClassVar[int] = 1

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Hands the route's function limited requests."""
        handle = super().get_route_handler()

        async def handle_limited(request: Request) -> Response:
            with Visit(request.app.state.admission, request.scope, sends=self.body_field is not None) as visit:
                return await handle(LimitedRequest(request, visit, self.files))

        return handle_limited


class ViewsRoute(LimitedRoute):
    """A limited route that takes several pictures at a time: views of one vehicle."""

    files = FILES


class JsonRoute(LimitedRoute):
    """A limited route for what comes as JSON; what comes otherwise is left to another route of the same address."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tells whether a request is for this route."""
        sent = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        return super().matches(scope) if sent == JSON else (Match.NONE, {})


class Crop(NamedTuple):
    """A part of an upright picture, in shares of its width and height."""

    left: float
    top: float
    width: float
    height: float

    def box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels of a picture of this width and height, at least one pixel each way."""
        width, height = size
        left = min(round(self.left * width), width - 1)
        top = min(round(self.top * height), height - 1)
        right = max(round((self.left + self.width) * width), left + 1)
        bottom = max(round((self.top + self.height) * height), top + 1)
        return left, top, min(right, width), min(bottom, height)


def parse_crop(text: str) -> Crop:
    """A crop of "left,top,width,height".

    Raises:
        ServiceError: it is none, or does not lie within the picture.
    """
    try:
        crop = Crop(*(read_number(part) for part in text.split(",")))
    except (TypeError, ValueError) as error:
        raise invalid("crop: give left,top,width,height as shares of the picture, such as 0.1,0.2,0.5,0.5") from error
    inside = 0 <= crop.left < 1 and 0 <= crop.top < 1 and 0 < crop.width <= 1 and 0 < crop.height <= 1
    edge = 1 + 1e-6  # shares were rounded on their way
    if not (inside and crop.left + crop.width <= edge and crop.top + crop.height <= edge):
        raise invalid("crop: it does not lie within the picture; shares go from 0 to 1")
    return crop


class View(NamedTuple):
    """A picture on its way: its file, and which part of it is meant; None means all."""

    file: BinaryIO
    crop: Crop | None


def read_views(name: str, files: Sequence[UploadFile], crops: Sequence[str], most: int) -> list[View]:
    """The views of one vehicle that a form brings.

    Args:
        name: of the field that brings the pictures.
        files: one or more.
        crops: one for each of them, "" for a whole picture; none if all are whole.
        most: views that there may be.

    Raises:
        ServiceError: there are more, or not as many crops as pictures, or one of these is none.
    """
    if len(files) > most:
        raise invalid(f"{name}: {len(files)} pictures are sent; at most {most} are taken as views of one vehicle")
    if crops and len(crops) != len(files):
        raise invalid(f"crop: give none, or one for each of {len(files)} pictures, blank for a whole one")
    parts = [parse_crop(crop) if crop else None for crop in crops or [""] * len(files)]
    return [View(file.file, part) for file, part in zip(files, parts, strict=True)]


class Upload(NamedTuple):
    """A picture that a client sent.

    Attributes:
        content: that of its file; of a crop, a digest of the file's and the box in pixels, as two crops differ.
        picture: upright RGB, cropped.
    """

    content: str
    picture: Image.Image


def read_upload(file: BinaryIO) -> bytes:
    """The bytes of a file that came with a form, which may lie on the disk."""
    file.seek(0)
    return file.read()


def open_upload(file: bytes, crop: Crop | None, size: tuple[int, int]) -> Upload:
    """Decodes what a client sent.

    Args:
        file: its bytes, which `weigh` has let pass.
        crop: which part is meant; None means all.
        size: height and width below which it is not decoded.

    Raises:
        ServiceError: it is no picture.
    """
    try:
        picture = decode_picture(file, "", None if crop else size)
    except UnreadablePictureError as error:
        raise unreadable(error.reason) from error
    content = picture_content(file)
    if crop is None:
        return Upload(content, picture)
    box = crop.box(picture.size)
    return Upload(hashlib.sha256(f"{content} {box}".encode()).hexdigest(), picture.crop(box))


def weigh(file: BinaryIO, most: int) -> Weight:
    """Tells what decoding a picture takes, by what its file states, before a pixel is decoded.

    Args:
        file: the picture.
        most: pixels that it may have.

    Raises:
        ServiceError: it has too many pixels, takes too much work, or is no picture.
    """
    content = read_upload(file)
    work = estimate_work(content, most)
    if work.pixels <= most and work.exceeds(most):  # opening it may already take too long
        raise ServiceError(413, "too_much_work", f"the picture cannot be read: {TOO_MUCH_WORK}")
    pixels = most + 1 if work.pixels > most else _count_pixels(content)
    if pixels > most:
        raise ServiceError(413, "too_many_pixels", f"the picture has more than the {most:,} pixels allowed")
    if work.pixels + work.extra > most:
        return Weight.COSTLY
    return Weight.LARGE if pixels > LARGE_PIXELS or len(content) > LARGE_BYTES else Weight.LIGHT


def _count_pixels(content: bytes) -> float:
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
            return picture.width * picture.height
    except Image.DecompressionBombError:
        return math.inf
    except Exception as error:  # decoders raise whatever a broken file leads them into
        raise unreadable("it is not a picture of a known format") from error


def unreadable(reason: str) -> ServiceError:
    """A file is no picture."""
    return ServiceError(422, "unreadable_picture", f"the picture cannot be read: {reason}")
