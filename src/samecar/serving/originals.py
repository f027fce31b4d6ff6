"""Pictures where they lie: only files below a folder that whoever runs the service has named."""

import os
import stat
from pathlib import Path

from samecar.errors import SamecarError
from samecar.retrieval.records import Entry, picture_content
from samecar.serving.errors import ServiceError, not_found

_FOLLOWS_NOTHING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe is not waited for


class Originals:
    """The files that pictures of a gallery were added from.

    An entry names where its picture lay. Links in that name are followed first, and what it leads to must lie below the
    folder; it is then opened from there part by part, none of which may be a link, so that nobody who may write below
    the folder leads out of it meanwhile. What is there must be the picture that was added, by its content.

    Args:
        folder: below which files are shown; links in its own name are followed now.
        most: bytes that a file may have.

    Raises:
        SamecarError: it is no folder, or the system cannot open files in that way.
    """

    def __init__(self, folder: Path, most: int) -> None:
        if os.open not in os.supports_dir_fd:
            raise SamecarError("--originals needs a system that opens files below a folder alone; leave it out here")
        try:
            self.folder = folder.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SamecarError(f"--originals {folder} cannot be used: {reason}; name a folder that is there") from error
        if not self.folder.is_dir():
            raise SamecarError(f"--originals {folder} is no folder; name the one below which the pictures lie")
        self._names = (self.folder, Path(os.path.normpath(folder.absolute())))  # entries may name it by a link
        self._most = most

    def offers(self, entry: Entry) -> bool:
        """Whether an entry is of one picture and names a place below the folder; `read` alone looks at what lies there.

        A vehicle of a film was added from several pictures.
        """
        address = Path(os.path.normpath(entry.sighting.address))
        if entry.sighting.pooled or not address.is_absolute():
            return False
        return any(address.is_relative_to(name) for name in self._names)

    def read(self, entry: Entry) -> bytes:
        """The file of an entry's picture.

        Raises:
            ServiceError: none lies below the folder, it is too large, or another picture lies there now.
        """
        missing = not_found(f"an original of entry {entry.id}")
        address = Path(entry.sighting.address)
        if entry.sighting.pooled or not address.is_absolute() or "\0" in entry.sighting.address:
            raise missing
        try:
            parts = address.resolve(strict=True).relative_to(self.folder).parts
            content = self._read(parts)
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle; not below the folder
            raise missing from error
        if picture_content(content) != entry.sighting.content:
            raise ServiceError(409, "changed", f"where the picture of entry {entry.id} was, another one lies now")
        return content

    def _read(self, parts: tuple[str, ...]) -> bytes:
        """The content of a regular file below the folder.

        Raises:
            ServiceError: it is too large.
            OSError: a part of its name is a link or not there, or it is no regular file.
        """
        place = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in parts:
                inner = os.open(name, os.O_RDONLY | _FOLLOWS_NOTHING, dir_fd=place)
                os.close(place)
                place = inner
            state = os.fstat(place)
            if not stat.S_ISREG(state.st_mode):
                raise OSError("it is no file")
            with os.fdopen(place, "rb", closefd=False) as file:
                content = file.read(self._most + 1)
        finally:
            os.close(place)
        if len(content) > self._most:
            raise ServiceError(413, "too_large", f"the original is larger than the {self._most:,} bytes allowed")
        return content
