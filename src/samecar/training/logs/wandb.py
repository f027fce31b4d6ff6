"""A run of W&B, which its own environment variables such as WANDB_MODE, WANDB_PROJECT and WANDB_DIR steer."""

import os
from collections.abc import Mapping
from pathlib import Path

import wandb

from samecar.training.logs.protocol import PROJECT


class WandbLog:
    """A run of W&B; its identity is the run's id. Steps that it has already are ignored by W&B itself."""

    def __init__(self, folder: Path, identity: str, done: int | None) -> None:  # noqa: ARG002 - W&B counts steps itself
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=folder.resolve().name,
            id=identity or None,
            resume="allow",
            reinit="create_new",
        )
        self.identity = str(self._run.id)

    def log_settings(self, settings: Mapping[str, str]) -> None:
        """Notes the configuration."""
        self._run.config.update(dict(settings), allow_val_change=True)

    def log_values(self, values: Mapping[str, float], step: int) -> None:
        """Notes a step."""
        self._run.log(dict(values), step=step)

    def finish(self, *, whole: bool) -> None:
        """Writes what is left; W&B shows a run that was ended before as failed."""
        self._run.finish(exit_code=0 if whole else 1)
