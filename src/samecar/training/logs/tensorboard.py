"""Event files for TensorBoard, in the run folder."""

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class TensorBoardLog:
    """Events beside the run's other files; needs no identity, as all events of a folder are one log."""

    def __init__(self, folder: Path, identity: str, done: int | None) -> None:
        self.identity = identity
        self._writer = SummaryWriter(str(folder), purge_step=None if done is None else done + 1)

    def log_settings(self, settings: Mapping[str, str]) -> None:
        """Writes a table, which TensorBoard shows under Text."""
        rows = [f"| {name} | {value} |" for name, value in settings.items()]
        self._writer.add_text("settings", "\n".join(["| option | value |", "|---|---|", *rows]))

    def log_values(self, values: Mapping[str, float], step: int) -> None:
        """Writes scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, *, whole: bool) -> None:  # noqa: ARG002 - it does not tell one end from another
        """Writes what is left."""
        self._writer.close()
