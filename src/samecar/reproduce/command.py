"""A whole reproduction: the runs behind some rows and figures, then their pages."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from samecar.data import Manifest, open_source
from samecar.errors import SamecarError
from samecar.hardware import REFERENCE, Machine, machine, share_machine
from samecar.progress import Progress, silent
from samecar.reproduce.choices import Choices
from samecar.reproduce.estimating import Plan, estimate_runs, plan_all
from samecar.reproduce.figures import draw_augmentations, draw_curves, draw_features, draw_ranks
from samecar.reproduce.pages.writing import write_index, write_table
from samecar.reproduce.rows import report_figures, rows_beside, table_of
from samecar.reproduce.runs import Data, PlannedRun, plan_runs, saved_scores
from samecar.reproduce.sharing import Outcome, Work, do_here, do_in_processes
from samecar.reproduce.tables import table_results


@dataclass
class Reproduction:
    """Some rows and figures of the report, on some data, at some size.

    Attributes:
        rows: identifiers, from `choose_rows`.
        data: the pictures at the size that is asked for.
        out: folder of runs, tables and figures; one of the same data can be gone on with.
        choices: how rows are run.
        figures: names, from `choose_figures`, of those whose rows are run too.
        failures: why runs failed, by the name of their folder.
    """

    rows: Sequence[str]
    data: Data
    out: Path
    choices: Choices
    figures: Sequence[str] = ()
    failures: dict[str, str] = field(default_factory=dict)

    def planned_runs(self) -> list[PlannedRun]:
        """The distinct runs behind rows and figures, and behind what is shown beside whole tables."""
        runs: dict[Path, PlannedRun] = {}
        for choices, rows in self._rows_by_choices().items():
            for run in plan_runs(choices, list(dict.fromkeys([*rows, *rows_beside(rows)])), self.out):
                runs.setdefault(run.folder, run)
        return list(runs.values())

    def plan(self, *, on: Machine | None = None, devices: Sequence[str] = ()) -> Plan:
        """Estimates what `run` will take; see there. Reading and training are timed on this machine for a moment.

        Raises:
            SamecarError: some run cannot begin.
        """
        runs, pending = self.planned_runs(), self._pending_runs()
        on = (on or machine()).used_as(REFERENCE)
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
            on: the machine; one that says nothing else is used as the reference is.
            devices: train as many runs at a time, each on its device and in a process of its own, which share the
                cores and the machine's workers. A script then needs `if __name__ == "__main__":`. Closing the iterator
                ends the processes.
            progress: is told the share of all the work that is done.

        Raises:
            SamecarError: some run cannot begin; nothing was started.
        """
        on = (on or machine()).used_as(REFERENCE)
        machines = share_machine(on, devices) if devices else [on]
        work = Work(estimate_runs(self._pending_runs(), self.data, machines), self.data, len(machines), progress)
        for outcome in do_in_processes(work, machines) if devices else do_here(work, on):
            if outcome.failure:
                self.failures[outcome.run.folder.name] = outcome.failure
            yield outcome

    def write(self) -> list[Path]:
        """Writes the tables of the rows, their curves of training loss, and the index, with what is finished by now."""
        paths = []
        for choices, rows in self._rows_by_choices().items():
            tables = list(dict.fromkeys(map(table_of, rows)))
            for table in tables:
                paths += write_table(self.out, table_results(table, choices, self.data, self.out, self.failures))
            for name, figure in report_figures().items():
                if figure.curves in tables:
                    paths += draw_curves(name, choices, self.data, self.out)
        return paths + write_index(self.out)

    def draw(self, *, on: Machine | None = None, progress: Progress = silent) -> list[Path]:
        """Draws the figures that show pictures, 1, 2 and 5, as far as runs are finished, and writes the index anew.

        Raises:
            SamecarError: a figure cannot be drawn, for example of an unreadable picture; the others are there then.
        """
        draws: list[Callable[[], list[Path]]] = [
            lambda: draw_features(self.choices, self.data, self.out),
            lambda: draw_augmentations(self.data, self.out),
            lambda: draw_ranks(self.choices, self.data, self.out, on=on, progress=progress),
        ]
        paths, errors = [], []
        for draw in draws:
            try:
                paths += draw()
            except SamecarError as error:
                errors.append(error)
        paths += write_index(self.out)
        if errors:
            raise errors[0]
        return paths

    def _pending_runs(self) -> list[PlannedRun]:
        """Those of the planned runs that are not finished."""
        return [run for run in self.planned_runs() if saved_scores(run.folder, self.data) is None]

    def _rows_by_choices(self) -> dict[Choices, list[str]]:
        """The rows that are asked for, and those that figures need, some with the settings of the published runs."""
        wanted = {self.choices: dict.fromkeys(self.rows)}
        for name in self.figures:
            figure = report_figures()[name]
            choices = replace(self.choices, as_run=True) if figure.as_run else self.choices
            wanted.setdefault(choices, {}).update(dict.fromkeys(figure.needed_rows))
        return {choices: list(rows) for choices, rows in wanted.items()}


def reproduce(
    rows: Sequence[str],
    data: Manifest | str,
    out: Path,
    choices: Choices | None = None,
    figures: Sequence[str] = (),
) -> Reproduction:
    """Prepares a reproduction, whose `run`, `write` and `draw` do it.

    Args:
        rows: identifiers, from `choose_rows`.
        data: a manifest, or a source such as `veri776:PATH`.
        out: folder of runs, tables and figures.
        choices: how rows are run; by default as printed, once.
        figures: names, from `choose_figures`.

    Raises:
        SamecarError: the data lack a split or vehicles.
    """
    choices = choices or Choices()
    manifest = open_source(data) if isinstance(data, str) else data
    return Reproduction(rows, Data.of(choices.scale.manifest(manifest)), out, choices, figures)
