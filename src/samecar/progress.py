"""How long work tells how far it is: to a function, as bars on a terminal, or to nobody."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from samecar.errors import SamecarError

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 60
"""Of progress, in a log file."""

BAR_WIDTH = 20
"""In signs; what is written beside a bar says more."""


class Progress(Protocol):
    """Is called with the work's name, how much is done, how much there is, and a note such as the present loss."""

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Takes note of progress."""


def silent(task: str, done: int, total: int, note: str = "") -> None:
    """Tells nobody."""


@contextmanager
def show_progress(progress: Progress | bool | None) -> Iterator[Progress]:
    """Gives what work tells its progress to, for as long as the block lasts.

    Args:
        progress: True shows bars on standard error, as the command line does; False or None shows nothing; a function
            is told itself.

    Raises:
        SamecarError: it is none of these.
    """
    if progress is True:
        from rich.console import Console

        with progress_bars(Console(stderr=True)) as bars:
            yield bars
    elif callable(progress):
        yield progress
    elif progress is None or progress is False:
        yield silent
    else:
        raise SamecarError(f"progress is {progress!r}; give True for bars, False for none, or a function")


@contextmanager
def progress_bars(console: "Console") -> Iterator[Progress]:
    """Shows a bar for each kind of work, with its speed where the work tells no note.

    Where the console is neither a terminal nor a notebook that can show bars (it needs ipywidgets), a line a minute is
    written instead.
    """
    if not (console.is_terminal or (console.is_jupyter and find_spec("ipywidgets"))):
        yield _lines_of_progress(console)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    def whole() -> Column:
        return Column(no_wrap=True)

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=BAR_WIDTH, table_column=whole()),
        MofNCompleteColumn(table_column=whole()),
        TimeElapsedColumn(table_column=whole()),
        TextColumn("left"),
        TimeRemainingColumn(table_column=whole()),
        TextColumn("{task.fields[note]}", markup=False, table_column=Column()),  # goes on below in a narrow terminal
    )
    bars = Bars(*columns, console=console)
    tasks: dict[str, TaskID] = {}

    def show(task: str, done: int, total: int, note: str = "") -> None:
        bars.start()
        if task not in tasks or (done < total and bars.tasks[tasks[task]].finished):
            tasks[task] = bars.add_task(task, total=total, note=note)
        speed = bars.tasks[tasks[task]].speed
        bars.update(tasks[task], completed=done, total=total, note=note or (f"{_round_down(speed)}/s" if speed else ""))

    try:
        yield show
    finally:
        if tasks:
            bars.stop()


def _lines_of_progress(console: "Console") -> Progress:
    last = time.monotonic()

    def show(task: str, done: int, total: int, note: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            console.print(f"{task} {done}/{total} {note}".rstrip(), markup=False, highlight=False, soft_wrap=True)

    return show


def _round_down(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"


def describe_speed(pictures: int, started: float, device: "torch.device | None") -> str:
    """Pictures a second and, on a GPU, its memory, for a note: "812 pictures/s  GPU 3.2 GiB".

    Args:
        pictures: how many were done.
        started: when the first was begun, by `time.perf_counter`.
        device: where they were done; of a GPU the most memory that tensors took since the process began is told;
            None where torch was not asked.
    """
    seconds = max(time.perf_counter() - started, 1e-9)
    note = f"{_round_down(pictures / seconds)} pictures/s"
    if device is None or device.type != "cuda":
        return note
    import torch

    memory: int = torch.cuda.max_memory_allocated(device)
    return f"{note}  GPU {memory / 2**30:.1f} GiB"
