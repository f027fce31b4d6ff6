"""How long some rows of the report take in one process, in two, and by the plan that was made before.

    python benchmarks/sharing.py WORK-FOLDER

Draws a set, plans Table 9 at a small size and runs it three times, each time from nothing: with one command; with one
command that trains two runs at a time (`--devices cpu,cpu`); and with two commands at once on one folder, each of which
trains one run at a time. Writes results/sharing.json, and refuses to if a run was not trained once, or if two commands
give other scores than one. To be run on an idle machine.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from results import write_results

from samecar.cli.console import say
from samecar.drawn import draw_set

DRAWN: dict[str, Any] = {"vehicles": 130, "cameras": 6, "pictures": 3, "size": 112, "seed": 1}
ROWS = ("table9", "--as-run")
SIZE = ("--epochs", "2", "--image-scale", "0.29", "--weights", "none")
WAYS: dict[str, tuple[int, tuple[str, ...]]] = {
    "one": (1, ()),
    "devices": (1, ("--devices", "cpu,cpu")),
    "commands": (2, ()),
}
"""How often the command is started at once, and with which options."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for the drawn set and the runs")
    options = parser.parse_args()
    pictures = options.work / "pictures"
    if not pictures.exists():
        draw_set(pictures, workers=len(os.sched_getaffinity(0)), **DRAWN)
    ways: dict[str, Any] = {}
    for way, (commands, more) in WAYS.items():
        out = options.work / way
        shutil.rmtree(out, ignore_errors=True)
        command = reproduce_command(pictures, out, more)
        began = time.perf_counter()
        plan = json.loads(subprocess.run([*command, "--plan", "--json"], capture_output=True, check=True).stdout)
        planned = time.perf_counter() - began
        began = time.perf_counter()
        processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(commands)]
        statuses = [process.wait() for process in processes]
        if any(statuses):
            raise SystemExit(f"{way}: a command failed")
        ways[way] = {
            "planned_seconds": round(plan["seconds"], 1),
            "planning_seconds": round(planned, 1),
            "seconds": round(time.perf_counter() - began, 1),
            "runs": len(plan["runs"]),
            "sessions": [sessions(run) for run in sorted((out / "runs").iterdir())],
            "scores": scores(out),
        }
        say(f"{way}: {ways[way]['seconds']} s, planned {ways[way]['planned_seconds']} s")
    refuse_differences(ways)
    say(f"Wrote {write_results('sharing', {'drawn': DRAWN, 'command': [*ROWS, *SIZE], 'ways': ways})}")


def reproduce_command(pictures: Path, out: Path, more: tuple[str, ...]) -> list[str]:
    """The command of one way."""
    start = [sys.executable, "-c", "from samecar.cli.main import main; main()", "reproduce", *ROWS]
    return [*start, "--data", f"veri776:{pictures}", "--out", str(out), *SIZE, *more]


def sessions(run: Path) -> list[dict[str, Any]]:
    """Threads, workers and seconds of each time that a run was begun or taken up."""
    noted = json.loads((run / "run.json").read_text(encoding="utf-8"))["sessions"]
    return [{name: session[name] for name in ("threads", "workers", "seconds")} for session in noted]


def scores(out: Path) -> dict[str, float]:
    """The mAP of each run."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))["evaluation"]["mAP"]
        for path in sorted(out.glob("runs/*/scores.json"))
    }


def refuse_differences(ways: dict[str, Any]) -> None:
    """Makes sure that each way trained each run once, and two commands to the scores of one.

    With `--devices` each process has fewer threads, which add up in another order.
    """
    first: dict[str, float] = ways["one"]["scores"]
    for way, found in ways.items():
        if found["scores"].keys() != first.keys() or any(len(each) != 1 for each in found["sessions"]):
            raise SystemExit(f"{way} did not train each run once")
    if ways["commands"]["scores"] != first:
        raise SystemExit("two commands gave other scores than one")


if __name__ == "__main__":
    main()
