"""Runs the command line in this process and takes down what it prints."""

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import NamedTuple

from conftest import TINY

from samecar.cli.main import app


class Finished(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    errors: str


def run(*arguments: object) -> Finished:
    """Runs `samecar` with arguments; anything but an orderly end is an error of the test."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            app(args=[str(argument) for argument in arguments], prog_name="samecar")
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Finished(status, out.getvalue(), errors.getvalue())


def done(*arguments: object) -> str:
    """Runs a command that must succeed, and gives what it printed on standard output."""
    finished = run(*arguments)
    assert finished.status == 0, finished.errors
    return finished.out


def refused(*arguments: object) -> str:
    """Runs a command that must end with status 2 and one line on standard error, which it gives."""
    finished = run(*arguments)
    assert finished.status == 2, finished
    assert finished.out == ""
    assert "Traceback" not in finished.errors
    (line,) = finished.errors.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def tiny(*changes: str) -> list[str]:
    """Options that make any training quick, and other changes, which come before these."""
    asked = {change.partition("=")[0]: change for change in [*TINY, *changes]}
    return [part for change in asked.values() for part in ("--set", change)] + ["--workers", "0"]


def made_small(words: Sequence[str]) -> list[str]:
    """A command line that somebody shows, made quick: a tiny network for two epochs, no processes.

    What is small says so in place of what the line asks for.
    """
    if words[0] in ("evaluate", "embed", "calibrate", "export"):
        return [*words, "--workers", "0"]
    if words[0] not in ("train", "tune"):
        return list(words)
    places = [place for place, word in enumerate(words) if word == "--set"]
    small = {change.partition("=")[0] for change in TINY}
    asked = [words[place + 1] for place in places if words[place + 1].partition("=")[0] not in small]
    others = [word for place, word in enumerate(words) if not {place, place - 1} & {*places}]
    return [*others, *tiny(*asked)]


def samecar_process(*arguments: object) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-c", "from samecar.cli.main import main; main()", *map(str, arguments)]
