"""What a log is told."""

from collections.abc import Mapping
from typing import Protocol

PROJECT = "samecar"
"""Under which runs are filed, where the log's own environment variables name nothing else."""


class RunLog(Protocol):
    """A log of one run.

    Attributes:
        identity: by which the same log is opened again, to go on in it; the run folder keeps it.
    """

    identity: str

    def log_settings(self, settings: Mapping[str, str]) -> None:
        """Notes what the run is trained by: options with dots in their names, and their values as texts; told once."""

    def log_values(self, values: Mapping[str, float], step: int) -> None:
        """Notes numbers of a step, which is an epoch from 1; names have a slash after their group, as in train/loss."""

    def finish(self, *, whole: bool) -> None:
        """Writes what is left and lets go of the log, which may be opened again.

        Args:
            whole: whether the work came to its end; False where it was interrupted or failed.
        """
