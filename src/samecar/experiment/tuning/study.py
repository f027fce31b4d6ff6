"""The folder of a study: what is tried, and all trials so far; several processes may work on it.

* `study.json`: recipe, what is searched, data, and how many vehicles are held out
* `journal.log`: Optuna's record of all trials
* `trials/0007/`: the run folder of a trial, without weights once it has ended
* `best.toml`: the best recipe so far
* `history.png`, `importances.png`, `slices.png`, and each as .svg
* `study.lock`: held while a trial is begun or ended
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from samecar.config import Recipe
from samecar.errors import SamecarError, missing_library
from samecar.experiment.tuning.space import Choices, Searched
from samecar.files import contents, make_folder, read_json, write_json
from samecar.report.figures.tuning import TriedRecipe
from samecar.training.lock import hold, is_held

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial
    from optuna.trial import FrozenTrial

STUDY_FILE = "study.json"
"""Says that a folder is that of a study."""

LOCK_FILE = "study.lock"

FEWEST_TO_WEIGH = 4
"""Complete trials; with fewer, importances are chance."""

ATTEMPTS = 3
"""Times that a trial is begun whose process was killed."""

FOLDER, ATTEMPT, AS_IT_STANDS, OUTSIDE = "folder", "attempt", "as it stands", "outside"
"""What is noted of a trial: its run folder; how often it was begun; that it is the recipe without a change; that the
recipe's own values are not among those that are searched."""

ERROR, KILLED, SECONDS, UNTRAINED = "error", "killed", "seconds", "untrained mAP"


@dataclass(frozen=True)
class Claim:
    """A trial that this process carries out.

    Attributes:
        trial: Optuna's.
        changes: of the recipe.
        folder: of its run, which this process holds.
        as_it_stands: whether it is the recipe without a change.
    """

    trial: "Trial"
    changes: tuple[str, ...]
    folder: Path
    as_it_stands: bool


class Study:
    """A study on disk; made or found again by `begin`.

    Attributes:
        folder: where it lies.
        space: what is searched.
        seed: of the choice of values.
        optuna: Optuna's study.
    """

    def __init__(self, folder: Path, space: tuple[Searched, ...], seed: int) -> None:
        optuna = _load_optuna()
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        self.folder, self.space, self.seed = folder, space, seed
        journal = folder / "journal.log"
        storage = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
        self.optuna: OptunaStudy = optuna.create_study(
            storage=storage, study_name="samecar", direction="maximize", load_if_exists=True
        )

    @classmethod
    def begin(
        cls, folder: Path, recipe: Recipe, space: tuple[Searched, ...], description: Mapping[str, Any], seed: int
    ) -> "Study":
        """Makes a study whose first trial is the recipe as it stands, or goes on with the one that is there.

        Args:
            folder: absent, empty, or of a study with the same description.
            recipe: that is changed.
            space: what is searched.
            description: all that decides what scores mean, as JSON has it.
            seed: of the choice of values.

        Raises:
            SamecarError: the folder holds anything else or another study, or Optuna is not installed.
        """
        _load_optuna()
        path = folder / STUDY_FILE
        if not path.is_file() and folder.exists() and (not folder.is_dir() or contents(folder, LOCK_FILE)):
            raise SamecarError(f"{folder} is not an empty folder and holds no study; choose another one")
        make_folder(folder)
        with _locked(folder):
            if path.is_file():
                _refuse_other(folder, read_json(path), description)
            else:
                write_json(path, dict(description))
            study = cls(folder, space, seed)
            if not study.optuna.trials:
                own = {searched.option: searched.own(recipe) for searched in space}
                outside = None in own.values()
                study.optuna.enqueue_trial({} if outside else own, {AS_IT_STANDS: True, OUTSIDE: outside})
        return study

    @contextmanager
    def claim(self, most: int) -> Iterator[Claim | None]:
        """Begins the next trial, or one that a killed process has left; None if there are enough.

        For as long as the block lasts, no other process takes the trial.

        Args:
            most: trials that the study shall have, over all processes.
        """
        with ExitStack() as holding:
            claimed = None
            with _locked(self.folder):
                self._release_killed()
                if sum(trial.number not in self._killed for trial in self._begun()) < most:
                    claimed = self._ask()
                    holding.enter_context(hold(claimed.folder))
            yield claimed

    def _ask(self) -> Claim:
        from optuna.samplers import TPESampler

        # The seed of a trial is the same whichever process begins it, and no two trials draw the same numbers.
        self.optuna.sampler = TPESampler(seed=1000 * self.seed + len(self.optuna.trials), constant_liar=True)
        trial = self.optuna.ask()
        noted = trial.user_attrs
        changes = () if noted.get(OUTSIDE) else tuple(searched.suggest(trial) for searched in self.space)
        name = noted.get(FOLDER, f"{trial.number:04d}")
        trial.set_user_attr(FOLDER, name)
        trial.set_user_attr(ATTEMPT, noted.get(ATTEMPT, 1))
        return Claim(trial, changes, self.folder / "trials" / name, bool(noted.get(AS_IT_STANDS)))

    def _release_killed(self) -> None:
        """Ends trials whose process is no more; they are begun anew, and go on from their last epoch."""
        from optuna.trial import TrialState

        for trial in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            noted = dict(trial.user_attrs)
            if FOLDER in noted and is_held(self.folder / "trials" / noted[FOLDER]):
                continue
            attempt = int(noted.get(ATTEMPT, 1))
            if attempt < ATTEMPTS:
                self.optuna.set_user_attr(KILLED, [*self._killed, trial.number])
                self.optuna.enqueue_trial(dict(trial.params), {**noted, ATTEMPT: attempt + 1})
            self.optuna.tell(trial.number, state=TrialState.FAIL)

    @property
    def _killed(self) -> list[int]:
        """Numbers of trials that were begun anew."""
        return list(self.optuna.user_attrs.get(KILLED, ()))

    def note_untrained(self, mean_average_precision: float) -> None:
        """Notes the score of the network before training."""
        self.optuna.set_user_attr(UNTRAINED, mean_average_precision)

    @property
    def untrained(self) -> float | None:
        """MAP of the network before training, 0 to 1; None while nobody has scored it."""
        return self.optuna.user_attrs.get(UNTRAINED)

    def end(self, claim: Claim, score: float | None, seconds: float, *, pruned: bool = False, error: str = "") -> None:
        """Ends a trial, and removes the weights of its run.

        Args:
            claim: the trial.
            score: its best mAP, 0 to 1; None if it failed.
            seconds: that it took.
            pruned: whether it ended early.
            error: why it failed.
        """
        from optuna.trial import TrialState

        claim.trial.set_user_attr(SECONDS, seconds)
        if error:
            claim.trial.set_user_attr(ERROR, error)
        state = TrialState.FAIL if score is None else TrialState.PRUNED if pruned else TrialState.COMPLETE
        with _locked(self.folder):
            self.optuna.tell(claim.trial, score if state is TrialState.COMPLETE else None, state=state)
        for name in ("checkpoints", "best", "model"):
            shutil.rmtree(claim.folder / name, ignore_errors=True)

    def trials(self) -> list[TriedRecipe]:
        """All trials in their order, but for those that wait or were begun anew."""
        killed = self._killed
        return [self._tried(trial) for trial in self._begun() if trial.number not in killed]

    def _begun(self) -> "list[FrozenTrial]":
        """All trials that do not wait."""
        return [trial for trial in self.optuna.get_trials(deepcopy=False) if trial.state.name != "WAITING"]

    def run_folder(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.folder / "trials" / str(self.optuna.trials[number].user_attrs[FOLDER])

    def _tried(self, trial: "FrozenTrial") -> TriedRecipe:
        states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
        noted = trial.user_attrs
        state = states[trial.state.name]
        scores = list(trial.intermediate_values.values())
        changes = [f"{name}={value if isinstance(value, str) else repr(value)}" for name, value in trial.params.items()]
        return TriedRecipe(
            trial.number,
            state,
            trial.value if state == "complete" else max(scores, default=None) if state == "pruned" else None,
            dict(trial.params),
            tuple(changes),
            float(noted.get(SECONDS, 0)),
            bool(noted.get(AS_IT_STANDS)),
            noted.get(ERROR) or (f"its process was killed {ATTEMPTS} times" if state == "failed" else None),
        )

    def importances(self) -> dict[str, float]:
        """How much each option decides which trials are among the best, by PED-ANOVA (Watanabe, arXiv 2304.10255).

        Empty while fewer than `FEWEST_TO_WEIGH` trials have ended, or if all of them are alike.
        """
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
        from optuna.trial import TrialState

        ended = self.optuna.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        searched = [trial for trial in ended if trial.params]
        if len(searched) < FEWEST_TO_WEIGH or len({trial.value for trial in searched}) < 2:
            return {}
        found = get_param_importances(self.optuna, evaluator=PedAnovaImportanceEvaluator())
        return {name: float(share) for name, share in found.items()}

    @property
    def logarithmic(self) -> list[str]:
        """Options that are searched over their logarithm."""
        return [each.option for each in self.space if not isinstance(each, Choices) and each.log]


def _locked(folder: Path) -> FileLock:
    """Waits until no other process begins or ends a trial."""
    return FileLock(folder.resolve() / LOCK_FILE)


def _refuse_other(folder: Path, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    different = [name for name in given if known.get(name) != given[name]]
    if different:
        told = ", ".join(f"{name} was {known.get(name)!r} and is now {given[name]!r}" for name in different)
        raise SamecarError(
            f"{folder} is a study of something else: {told}; go on with the same, or choose another folder"
        )


def _load_optuna() -> Any:
    if find_spec("optuna") is None:
        raise missing_library("tuning needs", "Optuna", "tune")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
