"""A whole reproduction: the runs behind some rows, then their tables and figures."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from samecar.data import Manifest, open_source
from samecar.hardware import Machine, machine, share_machine
from samecar.progress import Progress, silent
from samecar.report.figures.curves import curves_figure
from samecar.report.figures.style import save_figure
from samecar.reproduce.choices import Choices
from samecar.reproduce.estimating import Plan, estimate_runs, plan_all
from samecar.reproduce.rows import report_tables, row_ids
from samecar.reproduce.runs import Data, PlannedRun, plan_runs, run_folder, saved_scores
from samecar.reproduce.sharing import Outcome, Work, do_here, do_in_processes
from samecar.reproduce.tables import full_title, table_results, write_table
from samecar.training import Run


@dataclass
class Reproduction:
    """Some rows of the report, on some data, at some size.

    Attributes:
        rows: identifiers, from `choose_rows`.
        data: the pictures at the size that is asked for.
        out: folder of runs, tables and figures; one of the same data can be gone on with.
        choices: how rows are run.
        failures: why runs failed, by the name of their folder.
    """

    rows: Sequence[str]
    data: Data
    out: Path
    choices: Choices
    failures: dict[str, str] = field(default_factory=dict)

    def plan(self, *, on: Machine | None = None, devices: Sequence[str] = ()) -> Plan:
        """Estimates what `run` will take; see there. Reading and training are timed on this machine for a moment.

        Raises:
            SamecarError: some run cannot begin.
        """
        runs, pending = self._distinct_runs()
        on = on or machine()
        return plan_all(
            pending, len(runs) - len(pending), self.data, self.out, share_machine(on, devices or [str(on.device)])
        )

    def run(
        self, *, on: Machine | None = None, devices: Sequence[str] = (), progress: Progress = silent
    ) -> Generator[Outcome, None, None]:
        """Does each distinct run once, and says after each how it ended; what is done already is not done again.

        A run that fails, because its loss is no longer finite for example, does not keep the others from being done.
        Other processes may work on the same folder: runs that they hold are left to them and waited for.

        Args:
            on: the machine.
            devices: train as many runs at a time, each on its device and in a process of its own, which share the
                cores and the machine's workers. A script then needs `if __name__ == "__main__":`. Closing the iterator
                ends the processes.
            progress: is told the share of all the work that is done.

        Raises:
            SamecarError: some run cannot begin; nothing was started.
        """
        on = on or machine()
        machines = share_machine(on, devices) if devices else [on]
        work = Work(estimate_runs(self._distinct_runs()[1], self.data, machines), self.data, len(machines), progress)
        for outcome in do_in_processes(work, machines) if devices else do_here(work, on):
            if outcome.failure:
                self.failures[outcome.run.folder.name] = outcome.failure
            yield outcome

    def write(self) -> list[Path]:
        """Writes the tables of the rows and their figures of training loss, with what is finished by now."""
        paths = []
        for table in dict.fromkeys(row.partition("/")[0] for row in self.rows):
            content = table_results(table, self.choices, self.data, self.out, self.failures)
            paths += write_table(self.out, content)
            figure = report_tables()[table].curves
            runs = self._runs(table)
            if figure and runs:
                title = f"Training loss, seed {self.choices.seeds[0]}. {full_title(content)}"
                paths += save_figure(curves_figure(runs, title=title), self.out / figure)
        return paths

    def _distinct_runs(self) -> tuple[list[PlannedRun], list[PlannedRun]]:
        """All runs, and those of them that are not finished."""
        runs = plan_runs(self.choices, self.rows, self.out)
        return runs, [run for run in runs if saved_scores(run.folder, self.data) is None]

    def _runs(self, table: str) -> dict[str, Run]:
        """The finished runs of a table's rows with the first seed, by the rows' names."""
        content = report_tables()[table]
        folders = {
            row.name: run_folder(self.out, self.choices.recipe(identifier), self.choices.seeds[0])
            for identifier, row in zip(row_ids(table), content.rows, strict=True)
        }
        return {name: Run.open(folder) for name, folder in folders.items() if saved_scores(folder, self.data)}


def reproduce(rows: Sequence[str], data: Manifest | str, out: Path, choices: Choices | None = None) -> Reproduction:
    """Prepares a reproduction, whose `run` and `write` do it.

    Args:
        rows: identifiers, from `choose_rows`.
        data: a manifest, or a source such as `veri776:PATH`.
        out: folder of runs, tables and figures.
        choices: how rows are run; by default as printed, once.

    Raises:
        SamecarError: the data lack a split or vehicles.
    """
    choices = choices or Choices()
    manifest = open_source(data) if isinstance(data, str) else data
    return Reproduction(rows, Data.of(choices.scale.manifest(manifest)), out, choices)
