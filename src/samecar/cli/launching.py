"""Starting several processes of a command on this machine, by torch's own launcher."""

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from samecar.errors import SamecarError
from samecar.hardware import Machine, available_cores
from samecar.processes import Processes, SaidElsewhereError, read_environment


class LaunchedError(SamecarError):
    """Processes that were started here have failed, and have said why.

    Attributes:
        status: with which the first of them ended.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"processes that were started have ended with status {status}")
        self.status = status


def starts_others(count: int | None) -> bool:
    """Whether this process is to start so many others that do its work, and not one of them.

    Raises:
        SamecarError: torchrun has started another number of them.
    """
    started = read_environment(os.environ)
    if started is None or count is None:
        return started is None and (count or 1) > 1
    if started.count != count:
        raise SamecarError(
            f"--processes is {count} but torchrun has started {started.count}; leave --processes out under torchrun"
        )
    return False


def refuse_to_share(command: str) -> None:
    """Refuses to run a command in several processes of torchrun's that cannot share its work.

    Args:
        command: as it is typed.

    Raises:
        SamecarError: torchrun has started several; the first one says so.
    """
    started = read_environment(os.environ) if "TORCHELASTIC_RUN_ID" in os.environ else None
    if started is None or started.count == 1:
        return
    sentence = f"`{command}` works in one process, and torchrun has started {started.count}; run it without torchrun"
    raise SamecarError(sentence) if started.rank == 0 else SaidElsewhereError(sentence)


def launch(count: int, arguments: Sequence[str], on: Machine) -> None:
    """Has torch's launcher run samecar's command line in several processes on this machine, and waits for their end.

    What they print is printed here. If one ends before its end the others are ended too.

    Args:
        count: how many, 2 or more.
        arguments: of the command line; each process gets them all.
        on: the machine that they share.

    Raises:
        KeyboardInterrupt: they were interrupted.
        LaunchedError: they have failed, and have said so.
        SamecarError: one was ended from outside, or the machine cannot be shared so.
    """
    import logging

    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    Processes(0, count, 0, count).machine(on)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed"):  # says at length what is said here in a sentence
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // count)))
    with tempfile.TemporaryDirectory(prefix="samecar-") as logs:
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=os.path.basename(logs),  # noqa: PTH119 - a name, not a place
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            max_restarts=0,
            local_addr="127.0.0.1",
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            # Without -P a folder called samecar, where the command is typed, would be taken for the package.
            elastic_launch(settings, sys.executable)("-P", "-m", "samecar", *arguments)
        except ChildFailedError as error:
            if any(failure.exitcode == -signal.SIGINT for failure in error.failures.values()):
                raise KeyboardInterrupt from error
            raise _reason(error, count) from error
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from error
            raise LaunchedError(128 + error.sigval) from error


def _reason(failed: Any, count: int) -> SamecarError:
    """Why processes ended: by what the first that failed says, or by who ended it."""
    codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
    rank, failure = failed.get_first_failure()
    ended = {number: code for number, code in codes.items() if code < 0 and -code != signal.SIGTERM}
    if not ended and failure.exitcode > 0:
        return LaunchedError(failure.exitcode)
    rank, code = next(iter(ended.items()), (rank, failure.exitcode))
    return SamecarError(
        f"{describe_end(rank, count, -code)}; what was finished is kept, and the same command goes on with --resume"
    )


def describe_end(number: int, count: int, ended_by: int) -> str:
    """Says that a process was ended by a signal, as the beginning of a sentence.

    Args:
        number: of the process, from 0.
        count: of all of them.
        ended_by: number of the signal.
    """
    name = signal.Signals(ended_by).name
    why = ", often because memory is full" if name == "SIGKILL" else ""
    return f"process {number} of {count} (numbered from 0) was ended by {name}{why}, and the others with it"
