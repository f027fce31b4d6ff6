"""Does what docs/trust.md promises hold? Long trials, of which each can be chosen, shortened, ended and taken up again.

    python benchmarks/trust.py [--only kills power-cuts] [--kills 20] [--lines 1000]

kills: a training is killed in five ways and resumed; power-cuts: a training's disk is copied while it writes, which
needs a system that mounts disk images; pictures: damaged ones are read; lines: hostile ones are; clients: 32 ask a
service while its memory is watched, in one go. Results are kept after each step in results/trust.json, and the same
command goes on from there. The exit status is 1 where a promise was broken.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

from results import read_results
from rich.console import Console
from trials import clients, kills, lines, pictures, power_cuts
from trials.record import Record

from samecar.progress import Progress, progress_bars


class Trial(NamedTuple):
    """What can be tried.

    Attributes:
        run: goes on with it until it has its size.
        size: that it has unless told otherwise.
        unit: what is counted.
    """

    run: Callable[[Record, int, Progress], None]
    size: int
    unit: str


TRIALS = {
    "kills": Trial(kills.run, 200, "kills of trainings"),
    "power-cuts": Trial(power_cuts.run, 50, "power cuts of trainings"),
    "pictures": Trial(pictures.run, 100_000, "damaged pictures"),
    "lines": Trial(lines.run, 1_000_000, "hostile lines"),
    "clients": Trial(clients.run, 600, "seconds of 32 clients"),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the trials; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TRIALS, default=list(TRIALS), help="trials to run; otherwise all")
    for name, trial in TRIALS.items():
        parser.add_argument(f"--{name}", type=int, default=trial.size, metavar="N", help=f"{trial.unit}: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn: %(default)s")
    parser.add_argument("--anew", action="store_true", help="forget what was found before of these trials")
    parser.add_argument("--result", default="trust", help="name of the result file: %(default)s")
    options = parser.parse_args(arguments)
    with progress_bars(Console(stderr=True)) as progress:
        for name in options.only:
            size = getattr(options, name.replace("-", "_"))
            TRIALS[name].run(Record.open(options.result, name, options.seed, anew=options.anew), size, progress)
    trials = read_results(options.result)["trials"]
    for name in options.only:
        found = trials[name]
        print(f"{name}: {found['done']:,} done, {found['failed']:,} faults. {found.get('not_run', '')}".rstrip())
    return int(any(trials[name]["failed"] for name in options.only))


if __name__ == "__main__":
    raise SystemExit(main())
