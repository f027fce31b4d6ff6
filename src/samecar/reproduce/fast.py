"""Reproducing as quickly as a machine can, and how that is told."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from samecar.hardware import Machine, Speed, has_bfloat16, has_compiler
from samecar.reproduce.choices import Choices
from samecar.training import Run

PRECISION = "training.precision="
"""Begins a change of the precision."""

WORDS = {
    "channels_last": "channels last",
    "fused": "fused optimiser steps",
    "compile": "compiled",
}
"""What may be used of a machine beyond the reference, and what it is called."""


def go_fast(choices: Choices, on: Machine) -> tuple[Choices, Machine]:
    """Chooses all that makes training quicker on a machine and asks for no room on a disk.

    Rows are trained in bfloat16 where the chip has it and is quicker so, unless the choices name a precision, in run
    folders of their own; networks are compiled where there is a compiler.

    Args:
        choices: how the rows were to be run.
        on: the machine; where it keeps decoded pictures stays as it is.
    """
    speed = Speed(compile=has_compiler(), cache=on.cache)
    named = any(change.startswith(PRECISION) for change in choices.changes)
    if has_bfloat16(on.device) and not named:
        choices = replace(choices, quick_in_bfloat16=on.device.type)
    return choices, replace(on, speed=speed)


def describe_speed(folders: Iterable[Path]) -> str | None:
    """How runs were trained otherwise than the reference, as they have noted it; None if all were trained so."""
    there = [folder for folder in folders if (folder / "run.json").is_file()]
    runs = [Run.open(folder) for folder in there]
    noted = [session.get("speed", {}) for run in runs for session in run.sessions]
    used = [word for name, word in WORDS.items() if any(speed.get(name) for speed in noted)]
    if used:
        precisions = {run.recipe.training.precision for run in runs}
        used += [f"{name}{' in part' if len(precisions) > 1 else ''}" for name in sorted(precisions - {"float32"})]
    return f"trained fast: {', '.join(used)}" if used else None
