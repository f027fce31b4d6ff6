"""The `samecar` command."""

import ctypes
import errno
import os
import platform
import sys
from typing import Annotated, Any

import typer

from samecar.cli import compose, console, measure
from samecar.cli.commands import Group, UsageError, add_command
from samecar.cli.data import data
from samecar.cli.drawn import demo, draw
from samecar.cli.export import export
from samecar.cli.gallery import gallery
from samecar.cli.ingest import ingest
from samecar.cli.launching import LaunchedError
from samecar.cli.link import link
from samecar.cli.plot import plot
from samecar.cli.publish import publish
from samecar.cli.re_embed import re_embed
from samecar.cli.recipes import recipes
from samecar.cli.reproduce import reproduce
from samecar.cli.search import search
from samecar.cli.serve import serve
from samecar.cli.spread import spread
from samecar.cli.train import train
from samecar.cli.tune import tune
from samecar.cli.watch import watch
from samecar.cli.weights import import_weights
from samecar.errors import SamecarError, naming_extra
from samecar.processes import SaidElsewhereError
from samecar.version import __version__


class Commands(Group):
    """The commands; an error that a user can mend is one sentence and exit status 2, an interruption is 130."""

    examples = ("samecar demo", "samecar train demo --data veri776:VeRi -o runs/first")

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs the command line; a misspelt command or option is one sentence too."""
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except UsageError as error:
            console.fail_usage(error)
            status = 2
        sys.exit(status)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            with console.interruptible(), naming_extra("this needs"):
                return super().invoke(ctx)
        except LaunchedError as error:
            raise typer.Exit(error.status) from error
        except SamecarError as error:
            if not isinstance(error, SaidElsewhereError):
                console.fail(str(error))
            raise typer.Exit(2) from error
        except MemoryError as error:
            console.fail("memory is full; give this process more, or take smaller batches or fewer workers")
            raise typer.Exit(2) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            mending = "make room" if error.errno == errno.ENOSPC else "mend this one"
            console.fail(f"{place}{error.strerror or error}; choose another place, or {mending}")
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    help="Vehicle re-identification: given a picture of a vehicle, find the same vehicle in all the others.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -8, -3, -1
"""Numbers of glibc's options in malloc.h: heaps, size from which memory is the system's, and free memory to keep."""

SHORTEST_WAIT = "4"
"""Cycles that OpenBLAS lets a waiting thread spin, as a power of 2: the least that it takes; its own choice is 26."""

KEPT_BYTES = 1 << 30
"""More than a model's layer makes of the pictures of a batch."""


def main() -> None:
    """Runs the command line."""
    prepare_process()
    try:
        app()
    except KeyboardInterrupt:  # while the commands are put together, or after one has ended
        console.fail("interrupted")
        sys.exit(130)


def prepare_process() -> None:
    """Sets what libraries read when they are loaded, what the allocator does with freed memory, and what is printed."""
    prepare_libraries()
    console.escape_unknown_signs(sys.stdout, sys.stderr)
    keep_freed_memory()


def prepare_libraries() -> None:
    """Keeps libraries from writing between our lines, and threads of torch and NumPy from spinning while they wait.

    Spinning threads take the cores from what reads pictures: on two busy cores training is then many times slower. A
    library reads these settings when it is loaded, and the user's own come first.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", SHORTEST_WAIT)


def keep_freed_memory() -> None:
    """Lets glibc keep freed memory instead of giving it back and taking it anew for each layer of a model.

    On a CPU that can take more time than the layer itself. Other C libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    change = ctypes.CDLL(None).mallopt
    for option, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, KEPT_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES)):
        change(option, value)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(f"samecar {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


add_command(app, demo)
add_command(app, draw)
add_command(app, recipes)
add_command(app, train)
add_command(app, import_weights, "import-weights")
add_command(app, tune)
add_command(app, measure.evaluate, old_names=measure.OLD_NAMES)
add_command(app, measure.embed)
add_command(app, measure.score, old_names=measure.OLD_NAMES)
add_command(app, measure.compare_runs, "compare-runs")
add_command(app, compose.fuse)
add_command(app, compose.reduce)
add_command(app, measure.calibrate)
add_command(app, measure.compare)
app.add_typer(data, name="data")
app.add_typer(plot, name="plot")
add_command(gallery, re_embed, "re-embed")
add_command(gallery, spread)
app.add_typer(gallery, name="gallery")
app.add_typer(watch, name="watch")
for command in (export, publish, search, link, ingest, reproduce, serve):
    add_command(app, command)
