"""Does what docs/trust.md promises hold? Long trials, of which each can be chosen, shortened, ended and taken up again.

    python benchmarks/trust.py [--only kills power-cuts] [--kills 20] [--lines 1000]

kills: a training is killed in five ways and resumed; power-cuts: a training's disk is copied while it writes, which
needs a system that mounts disk images; pictures: damaged ones are read; lines: hostile ones are; clients: 32 ask a
service while its memory is watched, in one go. Results are kept after each step in results/trust.json, and the same
command goes on from there. The exit status is 1 where a promise was broken.
"""

import argparse
import signal
import sys
from collections.abc import Callable

from rich.console import Console
from trials import clients, kills, lines, pictures, power_cuts
from trials.record import Record
from trials.sizes import SIZES

from samecar.progress import Progress, progress_bars

TRIALS: dict[str, Callable[[Record, int, Progress], None]] = {
    "kills": kills.run,
    "power-cuts": power_cuts.run,
    "pictures": pictures.run,
    "lines": lines.run,
    "clients": clients.run,
}
"""Each goes on until it has its size."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the trials; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TRIALS, default=list(TRIALS), help="trials to run; otherwise all")
    for name, (size, unit) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size, metavar="N", help=f"{unit}: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn: %(default)s")
    parser.add_argument("--anew", action="store_true", help="forget what was found before of these trials")
    parser.add_argument("--result", default="trust", help="name of the result file: %(default)s")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # nothing is left running or mounted
    records = [Record.open(options.result, name, options.seed, anew=options.anew) for name in options.only]
    with progress_bars(Console(stderr=True)) as progress:
        for record in records:
            TRIALS[record.trial](record, getattr(options, record.trial.replace("-", "_")), progress)
    for record in records:
        print(record)
    return int(any(record.found["failed"] for record in records))


if __name__ == "__main__":
    raise SystemExit(main())
