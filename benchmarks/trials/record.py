"""What a trial has found so far; kept after each of its steps, so that it can be ended at any time and go on."""

from dataclasses import dataclass
from typing import Any, Self

from results import FOLDER, commit, read_results, write_results

MOST_FAULTS = 20
"""Faults of a trial that are told in its result; all are counted."""


@dataclass
class Record:
    """One trial's part of a result file.

    Attributes:
        file: name of the result file.
        trial: name of the trial.
        found: what the file says of it; `done` of it are done.
    """

    file: str
    trial: str
    found: dict[str, Any]

    @classmethod
    def open(cls, file: str, trial: str, seed: int, *, anew: bool = False) -> Self:
        """Takes up what was found before with the same seed, unless the trial is to begin anew.

        Raises:
            SystemExit: it was begun with another seed.
        """
        found = {} if anew else _trials(file).get(trial, {})
        if found.get("seed", seed) != seed:
            raise SystemExit(f"{trial} was begun with seed {found['seed']}, not {seed}; give that one, or --anew")
        begun = {"seed": seed, "done": 0, "commits": [], "failed": 0, "faults": []}
        return cls(file, trial, begun | {name: value for name, value in found.items() if name != "not_run"})

    def __str__(self) -> str:
        told = f"{self.trial}: {self.done:,} done, {self.found['failed']:,} faults"
        return f"{told}; {self.found['not_run']}" if "not_run" in self.found else told

    @property
    def done(self) -> int:
        """How much of the trial is done."""
        return int(self.found["done"])

    def add_fault(self, **told: Any) -> None:
        """Notes that a promise was broken."""
        self.found["failed"] += 1
        self.found["faults"] = [*self.found["faults"], told][:MOST_FAULTS]

    def refuse(self, reason: str) -> None:
        """Notes why the trial cannot be run here; what was found elsewhere stays."""
        self.found["not_run"] = reason
        self._write()

    def keep(self, done: int) -> None:
        """Writes what was found."""
        self.found["done"] = done
        self.found["commits"] = list(dict.fromkeys([*self.found["commits"], commit()]))
        self._write()

    def _write(self) -> None:
        write_results(self.file, {"trials": _trials(self.file) | {self.trial: self.found}})


def _trials(file: str) -> dict[str, Any]:
    trials: dict[str, Any] = read_results(file)["trials"] if (FOLDER / f"{file}.json").is_file() else {}
    return trials
