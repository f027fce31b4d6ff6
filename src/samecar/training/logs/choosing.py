"""Which logs there are, and how the one of a name is opened."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from samecar.errors import EXTRAS, SamecarError, missing_library
from samecar.training.logs.protocol import RunLog

LOGS: Final = {"tensorboard": "TensorBoardLog", "mlflow": "MlflowLog", "wandb": "WandbLog", "trackio": "TrackioLog"}
"""Each is a class in the file of its name."""

DEFAULT: Final = "tensorboard"


def check_log(name: str) -> None:
    """Checks that a log may be written.

    Args:
        name: one of `LOGS`.

    Raises:
        SamecarError: there is no such log, or its library is not installed.
    """
    _find(name)


def open_log(name: str, folder: Path, identity: str = "", done: int | None = None) -> RunLog:
    """Opens a run's log.

    Args:
        name: one of `LOGS`.
        folder: the run's; it gives the run its name.
        identity: of the log to go on in; "" begins one.
        done: epochs that are trained, where training goes on: of later ones an interrupted run may have told already,
            and tells again. None where something is added to a finished run.

    Raises:
        SamecarError: there is no such log, its library is not installed, or it cannot be reached.
    """
    log = _find(name)
    try:
        return cast(RunLog, log(folder, identity, done))
    except SamecarError:
        raise
    except Exception as error:  # whatever a library or a server of others may raise
        raise SamecarError(f"the log {name} of {folder} cannot be opened: {describe_failure(error)}") from error


def describe_failure(error: Exception) -> str:
    """What a library of others says went wrong, on one line, without the logins of addresses."""
    said = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"://[^/\s]*@", "://", said)


def _find(name: str) -> Any:
    if name not in LOGS:
        raise SamecarError(f"log is {name!r}; give one of {', '.join(LOGS)}")
    try:
        module = import_module(f"samecar.training.logs.{name}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "samecar":
            raise
        if missing in EXTRAS:
            raise missing_library(f"the log {name} needs", missing, EXTRAS[missing]) from error
        raise SamecarError(
            f"the log {name} needs {missing}, which is not installed; run `pip install {name}`, or choose another log"
        ) from error
    return getattr(module, LOGS[name])
