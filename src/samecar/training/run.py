"""The run folder: what was trained, how it went, and where it can be taken up again.

* `run.json`: recipe, its digest, data and its digest, vehicles in the order of the classifier; the weights that it
  began with, and a second digest that they change; after how many epochs it ended early, if it did, and by which recipe
  it was trained before it was trained longer; each session of training with its versions, machine and seconds
* `metrics.jsonl`: one line for each epoch; `events.out.tfevents…` is the same for TensorBoard, or another log is told
* `unreadable.json`: pictures that were left out because they could not be read, if any
* `prompts.safetensors`: texts about the vehicles, learned before training if the recipe asks for them
* `checkpoints/epoch-0012/`: all that resuming needs
* `best/`: the model of the epoch that scored best on held-out vehicles, if any were held out
* `model/`: the model that the run ended with
* `evaluations/`: scores and protocol card of each evaluation
* `embeddings/`: of the sets that were scored or calibrated on; may be removed at any time
* `report.html`: the last evaluation, to look at
* `training.lock`: while a process trains in the folder
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samecar.config import ModelSettings, Recipe, digest, parse_recipe
from samecar.errors import SamecarError
from samecar.files import as_path, contents, make_folder, read_json, sync, write_file, write_json
from samecar.models.folders import DESCRIPTION_FILE, TENSORS_FILE, refuse_unfinished, tensors_digest
from samecar.preprocessing import Preprocessing
from samecar.training.lock import LOCK_FILE
from samecar.training.logs import DEFAULT, RunLog, check_log, describe_failure, open_log
from samecar.training.logs.values import epoch_values, recipe_settings
from samecar.training.metrics import METRICS_FILE, read_metrics
from samecar.training.resuming import beginning_with, differences, is_longer, recipe_to_resume
from samecar.version import __version__

if TYPE_CHECKING:
    from samecar.models import Embedder
    from samecar.training.checkpoints import Checkpoint
    from samecar.training.sessions import Session


@dataclass(frozen=True)
class RunData:
    """What a run was trained on.

    Attributes:
        source: as it was given, without the folder's path.
        digest: of the manifest of training pictures.
        pictures: number of training pictures.
        vehicles: train vehicles in the order of the classifier's outputs.
    """

    source: str
    digest: str
    pictures: int
    vehicles: Sequence[str]


class Run:
    """A run folder on disk; made by `create`, as `samecar.train` does, and found again by `open`.

        >>> run = Run.open("runs/first")
        >>> run
        <Run runs/first: veri776:VeRi, 576 vehicles, 60 epochs>
        >>> run.metrics()[-1]["loss"]
        1.204
        >>> run.load_model().embedding_size
        512

    Whatever takes a run, such as `samecar.evaluate`, takes its folder as well.

    Attributes:
        folder: where it lies.
        recipe: what was trained and how.
        data: what it was trained on.
        weights: that it began with: name, file, sha256, licence and address; empty if an earlier version did not note
            them.
        side: names of the cameras and views that a model with side information knows, by option; otherwise empty.
        resolved: sixteen hexadecimal digits of recipe and weights together, None likewise. Two runs of one recipe
            differ in them if, for example, 'imagenet' was another file in another version of timm.
        former: recipes with fewer epochs that it was trained by before, each with digest, epochs and ended_early.
        untrained: scores of the held-out vehicles before training, by the names that `metrics` has; empty if none were
            held out or an earlier version did not note them.
        ended_early: the epoch after which `training.patience` has ended training; None if it has not.
        sessions: as in `samecar.training.sessions`; empty likewise.
        log: where epochs are told besides `metrics.jsonl`: its name, and once it has begun its identity.
    """

    def __init__(self, folder: Path, recipe: Recipe, data: RunData, noted: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.recipe = recipe
        self.data = data
        noted = noted or {}
        self.weights: dict[str, Any] = dict(noted.get("weights") or {})
        self.side: dict[str, list[str]] = dict(noted.get("side") or {})
        self.resolved: str | None = noted.get("resolved")
        self.former: list[dict[str, Any]] = list(noted.get("former", ()))
        self.untrained: dict[str, float] = dict(noted.get("untrained") or {})
        self.ended_early: int | None = noted.get("ended_early")
        self.sessions: list[Session] = list(noted.get("sessions", ()))
        self.log: dict[str, str] = dict(noted.get("log") or {"name": DEFAULT, "identity": ""})

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        try:
            planned, done = self.recipe.training.epochs, len(self.metrics())
            epochs = f"{planned:,} epoch{'s' if planned > 1 else ''}"
            epochs = epochs if done == planned else f"{done:,} of {epochs}"
            epochs = epochs if self.ended_early is None else f"{epochs}, ended early"
            return f"<Run {self.folder}: {self.data.source}, {len(self.data.vehicles):,} vehicles, {epochs}>"
        except Exception:  # whatever of the folder is damaged, what it is called can be said
            return f"<Run {self.folder}, damaged>"

    @classmethod
    def create(
        cls, folder: str | Path, recipe: Recipe, data: RunData, model: "Embedder | None" = None, log: str | None = None
    ) -> "Run":
        """Starts a run in a folder that is absent or empty.

        Args:
            folder: where it lies.
            recipe: what is trained and how.
            data: that it is trained on.
            model: as it begins, which knows its weights.
            log: where its epochs are told besides; None is TensorBoard.

        Raises:
            SamecarError: the folder holds a run or anything else; nothing is overwritten.
        """
        folder = as_path(folder, "run folder")
        cls.refuse_used(folder, recipe)
        make_folder(folder)
        noted: dict[str, Any] = {"sessions": [], "log": {"name": log or DEFAULT}}
        if model is not None and model.weights is not None:
            noted = {
                "weights": model.weights.as_dict(),
                "resolved": _resolved_digest(recipe, model.weights.as_dict(), model.preprocessing),
                **noted,
            }
        if model is not None and model.settings.side_information != "none":
            noted["side"] = {name: list(getattr(model.settings, name)) for name in ("side_cameras", "side_views")}
        run = cls(folder, recipe, data, noted)
        run._write()
        return run

    @classmethod
    def refuse_used(cls, folder: str | Path, recipe: Recipe) -> None:
        """Checks that a run may start in a folder.

        Raises:
            SamecarError: the folder holds a run or anything else.
        """
        folder = as_path(folder, "run folder")
        if (folder / "run.json").is_file():
            other = cls.open(folder)
            if other.recipe.digest == recipe.digest:
                raise SamecarError(
                    f"{folder} already holds a run of this recipe; continue it with --resume, or choose another folder"
                )
            way = "choose another folder" + (
                ", or train it longer with --resume" if is_longer(other.recipe, recipe) else ""
            )
            raise SamecarError(f"{folder} holds a run of another recipe: {differences(other.recipe, recipe)}; {way}")
        if folder.exists() and (not folder.is_dir() or contents(folder, LOCK_FILE)):
            raise SamecarError(f"{folder} is not an empty folder; choose another one for the run")

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Reads a run folder.

        Raises:
            SamecarError: there is no run in the folder, or its description is damaged.
        """
        folder = as_path(folder, "run folder")
        path = folder / "run.json"
        if not path.is_file():
            state = f"folder {folder} holds no run" if folder.is_dir() else f"run folder {folder} is not there"
            raise SamecarError(f"{state}; give the folder that `samecar train --out` made, the one with run.json")
        content = read_json(path)
        try:
            return cls(folder, parse_recipe(content["recipe"], str(path)), RunData(**content["data"]), content)
        except (KeyError, TypeError) as error:
            raise SamecarError(f"{path} is not a run description: {error}; train again") from error

    @classmethod
    def of(cls, run: "Run | str | Path") -> "Run":
        """A run that was given itself, or by its folder.

        Raises:
            SamecarError: as in `open`.
        """
        return run if isinstance(run, Run) else cls.open(run)

    @classmethod
    def resume(cls, folder: str | Path, recipe: Recipe, data: RunData, log: str | None = None) -> "Run":
        """Opens a run to train on, after checking that recipe and data are the ones that it began with.

        Where the recipe asks for more epochs, and the learning rates of those that are trained are the same, the run
        goes on with it: `run.json` then has the new recipe, and the former one in `former`. A run that began before the
        report's recipes had the report's own networks goes on with the network that it has. It goes on in its log too,
        unless another one is named.

        Raises:
            SamecarError: there is no run, its recipe or data differ, or its log's library is not installed.
        """
        folder = as_path(folder, "run folder")
        if not (folder / "run.json").is_file():
            raise SamecarError(f"{folder} holds no run to resume; start it without --resume, or name another --out")
        run = cls.open(folder)
        if run.data.digest != data.digest:
            raise SamecarError(
                f"{folder} was trained on other data ({run.data.source}, {run.data.pictures} pictures); "
                f"this is {data.source} with {data.pictures}: give the same data, or choose another folder"
                f"{beginning_with(folder)}"
            )
        longer = recipe_to_resume(folder, run.recipe, recipe, run.metrics())
        if longer.digest != run.recipe.digest:
            before = run.recipe.training.epochs
            run.former.append({"digest": run.recipe.digest, "epochs": before, "ended_early": run.ended_early})
            run.recipe, run.ended_early = longer, None
        run.choose_log(log)
        return run

    def note_recipe(self, preprocessing: Preprocessing) -> None:
        """Writes the recipe that a resumed run goes on with, if it is not the one that is written."""
        if read_json(self.folder / "run.json")["digest"] == self.recipe.digest:
            return
        if self.resolved is not None:
            self.resolved = _resolved_digest(self.recipe, self.weights, preprocessing)
        self._write()

    def refuse_other_weights(self, model: "Embedder") -> None:
        """Checks that a model which begins anew has the weights that the run began with.

        Raises:
            SamecarError: its weights are others.
        """
        weights = model.weights.as_dict() if model.weights is not None else {}
        if weights.get("sha256") != self.weights.get("sha256"):
            raise SamecarError(
                f"{self.folder} began with other weights than those that model.weights names now; put "
                f"{self.weights.get('file')} back, or remove the folder and train again"
            )

    def note_untrained(self, scores: Mapping[str, float]) -> None:
        """Notes how the network scored on held-out vehicles before it was trained."""
        self.untrained = {f"validation_{name}": value for name, value in scores.items()}
        self._write()

    def note_early_end(self, epoch: int) -> None:
        """Notes that training has ended after so many epochs, because its scores no longer rose."""
        if self.ended_early != epoch:
            self.ended_early = epoch
            self._write()

    def _write(self) -> None:
        """Writes run.json."""
        content = {
            "samecar": __version__,
            "digest": self.recipe.digest,
            "resolved": self.resolved,
            "recipe": self.recipe.model_dump(mode="json"),
            "weights": self.weights,
            "data": asdict(self.data),
            "former": self.former,
            "untrained": self.untrained,
            "ended_early": self.ended_early,
            "sessions": self.sessions,
            "log": self.log,
        }
        if self.side:
            content["side"] = self.side
        write_json(self.folder / "run.json", content)

    def note_session(self, session: "Session") -> None:
        """Notes a session of training; what was noted of it after an earlier epoch is replaced."""
        same = self.sessions and all(self.sessions[-1][name] == session[name] for name in ("date", "first_epoch"))
        self.sessions = [*(self.sessions[:-1] if same else self.sessions), session]
        self._write()

    # metrics

    def append_metrics(self, record: Mapping[str, float]) -> None:
        """Adds an epoch's line to metrics.jsonl."""
        path = self.folder / METRICS_FILE
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        sync(path)

    def metrics(self) -> list[dict[str, float]]:
        """The lines of metrics.jsonl, one for each epoch trained: 1, 2, 3 and so on.

        Raises:
            SamecarError: the epochs are others, as if several processes had trained in the folder.
        """
        return read_metrics(self.folder)

    def refuse_incomplete(self) -> None:
        """Checks that the run's record is one rising sequence of all of its epochs; nothing else may be scored.

        Raises:
            SamecarError: it is not.
        """
        done, planned = len(self.metrics()), self.ended_early or self.recipe.training.epochs
        if done < planned and self.former:
            raise SamecarError(
                f"{self.folder} is being trained longer and has {done} of {planned} epochs; finish it with "
                "`samecar train … --resume`"
            )
        if done != planned:
            raise SamecarError(
                f"{self.folder / 'metrics.jsonl'} has {done} of {planned} epochs, though a model is there; "
                f"remove {self.folder} and train again"
            )

    def keep_metrics(self, epochs: int) -> None:
        """Drops the lines of epochs that no checkpoint holds, which an interrupted run may have left."""
        kept = self.metrics()[:epochs]
        with write_file(self.folder / METRICS_FILE) as path:
            path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def choose_log(self, name: str | None) -> None:
        """Has a resumed run go on in its log, or begin one of another name.

        Raises:
            SamecarError: there is no such log, or its library is not installed.
        """
        if name is not None and name != self.log["name"]:
            self.log = {"name": name}
        check_log(self.log["name"])

    def open_log(self, done: int | None = None) -> RunLog:
        """Opens the run's log; one that begins is told the settings, and the epochs that there are already.

        Args:
            done: epochs that are trained, where training goes on.

        Raises:
            SamecarError: its library is not installed, or it cannot be reached.
        """
        log = open_log(self.log["name"], self.folder, self.log.get("identity", ""), done)
        if "identity" not in self.log:
            log.log_settings(recipe_settings(self.recipe))
            for record in self.metrics():
                log.log_values(epoch_values(record), int(record["epoch"]))
            self.log = {"name": self.log["name"], "identity": log.identity}
            self._write()
        return log

    def log_scores(self, scores: Mapping[str, float], epoch: int) -> None:
        """Adds scores on a test set to the log, at the epoch of the model; warns where the log cannot be reached."""
        try:
            log = self.open_log()
            try:
                log.log_values({f"test/{name}": value for name, value in scores.items()}, epoch)
            finally:
                log.finish(whole=True)
        except Exception as error:  # whatever a library or a server of others may raise
            warnings.warn(f"the scores are saved, but not logged: {describe_failure(error)}", stacklevel=2)

    def write_unreadable(self, sentences: Sequence[str]) -> None:
        """Notes the pictures that were left out of training because they could not be read."""
        if sentences:
            write_json(self.folder / "unreadable.json", list(sentences))

    def unreadable(self) -> list[str]:
        """A sentence for each picture that was left out of training because it could not be read."""
        path = self.folder / "unreadable.json"
        return list(read_json(path)) if path.is_file() else []

    # checkpoints

    def save_checkpoint(self, checkpoint: "Checkpoint", epoch: int) -> None:
        """Keeps all that resuming needs after `epoch` epochs, and removes the checkpoint before it."""
        checkpoint.replace_last(self.folder, epoch)

    def load_checkpoint(self, checkpoint: "Checkpoint") -> int:
        """Puts model, optimiser and random state back to the last checkpoint.

        Returns:
            The number of epochs that it holds.

        Raises:
            SamecarError: there is no checkpoint, or it is damaged.
        """
        return checkpoint.load_last(self.folder)

    @property
    def has_begun(self) -> bool:
        """Whether the network has begun to train; with prompts to learn it begins after them."""
        from samecar.training.checkpoints import saved_states

        return bool(saved_states(self.folder) or self.metrics())

    # the model

    def save_model(self, model: "Embedder", name: str, **facts: Any) -> None:
        """Writes a model that can be used without the rest of the run; `name` is 'model' or 'best'."""
        from samecar.models.saved import save_model

        save_model(model, self.folder / name, recipe_digest=self.recipe.digest, **facts)

    def model_facts(self, name: str = "model") -> dict[str, Any]:
        """What was said of a saved model: epoch, how it was chosen."""
        facts: dict[str, Any] = read_json(self.folder / name / DESCRIPTION_FILE)
        return facts

    def model_digest(self, name: str = "model") -> str:
        """Sixteen hexadecimal digits of the saved model's content."""
        return tensors_digest((self.folder / name / TENSORS_FILE).read_bytes())

    def refuse_unfinished(self, name: str = "model") -> None:
        """Checks that there is a saved model.

        Raises:
            SamecarError: the run has not ended.
        """
        refuse_unfinished(self.folder, name)

    @property
    def model_settings(self) -> ModelSettings:
        """The recipe's model, with timm's tag in place of 'imagenet', which may be another one in a newer timm.

        Of a model with side information it has the names of cameras and views as well.
        """
        name = self.weights.get("name")
        settings = self.recipe.model.model_copy(update={name: tuple(known) for name, known in self.side.items()})
        return settings.model_copy(update={"weights": name}) if name and settings.weights == "imagenet" else settings

    def load_model(self, name: str = "model") -> "Embedder":
        """Loads the model that the run ended with.

        Raises:
            SamecarError: the run has not ended, or the file is damaged.
        """
        from samecar.models import build_embedder
        from samecar.models.saved import load_model_tensors

        folder = self.folder / name
        self.refuse_unfinished(name)
        model = build_embedder(self.model_settings, len(self.data.vehicles), load_weights=False)
        load_model_tensors(model, folder / TENSORS_FILE)
        return model.eval()


def _resolved_digest(recipe: Recipe, weights: Mapping[str, Any], preprocessing: Preprocessing) -> str:
    """Sixteen hexadecimal digits of all that decides a run, with what names in the recipe stood for."""
    return digest(
        {
            "recipe": recipe.digest,
            "weights": weights["name"],
            "sha256": weights["sha256"],
            "mean": preprocessing.mean,
            "deviation": preprocessing.deviation,
        }
    )
