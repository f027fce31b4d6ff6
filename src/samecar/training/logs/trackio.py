"""A run of trackio, in its own folder, or where TRACKIO_SPACE_ID and its other environment variables say."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import trackio

from samecar.training.logs.protocol import PROJECT


class TrackioLog:
    """A run of trackio; its identity is the run's name, with something random at its end, as names tell runs apart."""

    def __init__(self, folder: Path, identity: str, done: int | None) -> None:  # noqa: ARG002 - it keeps what it has
        self.identity = identity or f"{folder.resolve().name}-{secrets.token_hex(4)}"
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=self.identity,
            resume="must" if identity else "never",
            embed=False,
        )
        if identity:
            self._run.config.clear()  # one that is empty is not written, so that the first session's stays

    def log_settings(self, settings: Mapping[str, str]) -> None:
        """Notes the configuration."""
        self._run.config.update(settings)

    def log_values(self, values: Mapping[str, float], step: int) -> None:
        """Notes a step."""
        self._run.log(dict(values), step=step)

    def finish(self, *, whole: bool) -> None:  # noqa: ARG002 - it does not tell one end from another
        """Writes what is left."""
        self._run.finish()
