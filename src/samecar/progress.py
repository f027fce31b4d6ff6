"""How long work tells how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Is called with the work's name, how much is done, how much there is, and a note such as the present loss."""

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Takes note of progress."""


def silent(task: str, done: int, total: int, note: str = "") -> None:
    """Tells nobody."""
