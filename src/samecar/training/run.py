"""The run folder: what was trained, how it went, and where it can be taken up again.

run.json                     recipe, its digest, data and its digest, vehicles in the order of the classifier
metrics.jsonl                one line for each epoch
events.out.tfevents…         the same for TensorBoard
checkpoints/epoch-0012/      model.safetensors, state.safetensors, state.json: all that resuming needs
best/                        model.safetensors, model.json: the epoch that scored best on held-out vehicles
model/                       model.safetensors, model.json: the model that the run ended with
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from samecar import __version__
from samecar.config import Recipe, parse_recipe
from samecar.errors import SamecarError
from samecar.files import written_file, written_folder
from samecar.models import Embedder, build_embedder


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
    """A run folder on disk; made by `create`, found again by `open`."""

    def __init__(self, folder: Path, recipe: Recipe, data: RunData) -> None:
        self.folder = folder
        self.recipe = recipe
        self.data = data

    @classmethod
    def create(cls, folder: Path, recipe: Recipe, data: RunData) -> "Run":
        """Starts a run in a folder that is absent or empty.

        Raises:
            SamecarError: the folder holds a run or anything else; nothing is overwritten.
        """
        cls.refuse_used(folder, recipe)
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "samecar": __version__,
            "digest": recipe.digest,
            "recipe": recipe.model_dump(mode="json"),
            "data": asdict(data),
        }
        write_json(folder / "run.json", content)
        return cls(folder, recipe, data)

    @classmethod
    def refuse_used(cls, folder: Path, recipe: Recipe) -> None:
        """Checks that a run may start in a folder.

        Raises:
            SamecarError: the folder holds a run or anything else.
        """
        if (folder / "run.json").is_file():
            other = cls.open(folder)
            if other.recipe.digest == recipe.digest:
                raise SamecarError(
                    f"{folder} already holds a run of this recipe; continue it with --resume, or choose another folder"
                )
            raise SamecarError(
                f"{folder} holds a run of another recipe: {_differences(other.recipe, recipe)}; choose another folder"
            )
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SamecarError(f"{folder} is not an empty folder; choose another one for the run")

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Reads a run folder.

        Raises:
            SamecarError: there is no run in the folder, or its description is damaged.
        """
        path = folder / "run.json"
        if not path.is_file():
            state = f"folder {folder} holds no run" if folder.is_dir() else f"run folder {folder} is not there"
            raise SamecarError(f"{state}; give the folder that `samecar train --out` made, the one with run.json")
        content = read_json(path)
        try:
            return cls(folder, parse_recipe(content["recipe"], str(path)), RunData(**content["data"]))
        except (KeyError, TypeError) as error:
            raise SamecarError(f"{path} is not a run description: {error}; train again") from error

    @classmethod
    def resume(cls, folder: Path, recipe: Recipe, data: RunData) -> "Run":
        """Opens a run to train on, after checking that recipe and data are the ones that it began with.

        Raises:
            SamecarError: there is no run, or its recipe or data differ.
        """
        if not (folder / "run.json").is_file():
            raise SamecarError(f"{folder} holds no run to resume; start it without --resume, or name another --out")
        run = cls.open(folder)
        if run.recipe.digest != recipe.digest:
            raise SamecarError(
                f"{folder} was trained with another recipe: {_differences(run.recipe, recipe)}; "
                "resume with the same recipe and --set, or choose another folder"
            )
        if run.data.digest != data.digest:
            raise SamecarError(
                f"{folder} was trained on other data ({run.data.source}, {run.data.pictures} pictures); "
                f"this is {data.source} with {data.pictures}: give the same data, or choose another folder"
            )
        return run

    # metrics

    def append_metrics(self, record: Mapping[str, float]) -> None:
        """Adds an epoch's line to metrics.jsonl."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def metrics(self) -> list[dict[str, float]]:
        """The lines of metrics.jsonl, one for each epoch trained."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines]

    def keep_metrics(self, epochs: int) -> None:
        """Drops the lines of epochs that no checkpoint holds, which an interrupted run may have left."""
        kept = self.metrics()[:epochs]
        with written_file(self.folder / "metrics.jsonl") as path:
            path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def write_unreadable(self, sentences: Sequence[str]) -> None:
        """Notes the pictures that were left out of training because they could not be read."""
        if sentences:
            write_json(self.folder / "unreadable.json", list(sentences))

    def unreadable(self) -> list[str]:
        """A sentence for each picture that was left out of training because it could not be read."""
        path = self.folder / "unreadable.json"
        return list(read_json(path)) if path.is_file() else []

    # checkpoints

    def save_checkpoint(self, epoch: int, model: Embedder, optimizer: Optimizer, scaler: GradScaler) -> None:
        """Keeps all that resuming needs after `epoch` epochs, and removes the checkpoint before it."""
        tensors, numbers = _flatten_optimizer(optimizer)
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        state = {"epoch": epoch, "optimizer": numbers, "scaler": scaler.state_dict()}
        folder = self._checkpoint(epoch)
        shutil.rmtree(folder, ignore_errors=True)
        with written_folder(folder) as temporary:
            save_file(_tensors(model), temporary / "model.safetensors")
            save_file(tensors, temporary / "state.safetensors")
            (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
        for other in self._checkpoints():
            if other != folder:
                shutil.rmtree(other)

    def load_checkpoint(self, model: Embedder, optimizer: Optimizer, scaler: GradScaler) -> int:
        """Puts model, optimiser and random state back to the last checkpoint.

        Returns:
            The number of epochs that it holds.

        Raises:
            SamecarError: there is no checkpoint, or it is damaged.
        """
        folders = self._checkpoints()
        if not folders:
            raise SamecarError(
                f"{self.folder} has no checkpoint to resume from; remove the folder and train from the start"
            )
        folder = folders[-1]
        state = read_json(folder / "state.json")
        device = next(model.parameters()).device
        tensors = load_tensors(folder / "state.safetensors")
        load_model_tensors(model, folder / "model.safetensors")
        torch.set_rng_state(tensors.pop("random.cpu"))
        cuda = tensors.pop("random.cuda", None)
        if cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(cuda)
        _restore_optimizer(optimizer, tensors, state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        return int(state["epoch"])

    def _checkpoint(self, epoch: int) -> Path:
        return self.folder / "checkpoints" / f"epoch-{epoch:04d}"

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("epoch-*"))

    # the model

    def save_model(self, model: Embedder, name: str, **facts: Any) -> None:
        """Writes a model that can be used without the rest of the run; `name` is 'model' or 'best'."""
        save_model(model, self.folder / name, recipe_digest=self.recipe.digest, **facts)

    def model_facts(self, name: str = "model") -> dict[str, Any]:
        """What was said of a saved model: epoch, how it was chosen."""
        facts: dict[str, Any] = read_json(self.folder / name / "model.json")
        return facts

    def model_digest(self, name: str = "model") -> str:
        """Sixteen hexadecimal digits of the saved model's content."""
        return hashlib.sha256((self.folder / name / "model.safetensors").read_bytes()).hexdigest()[:16]

    def load_model(self, name: str = "model") -> Embedder:
        """Loads the model that the run ended with.

        Raises:
            SamecarError: the run has not ended, or the file is damaged.
        """
        folder = self.folder / name
        if not (folder / "model.safetensors").is_file():
            raise SamecarError(f"{self.folder} has no trained model yet; finish it with `samecar train … --resume`")
        model = build_embedder(self.recipe.model, len(self.data.vehicles), load_weights=False)
        load_model_tensors(model, folder / "model.safetensors")
        return model.eval()


def save_model(model: Embedder, folder: Path, **facts: Any) -> None:
    """Writes model.safetensors and model.json; a model that was there before is replaced only by a whole one."""
    with written_file(folder / "model.safetensors") as path:
        save_file(_tensors(model), path)
    write_json(
        folder / "model.json", {**facts, "model": model.settings.model_dump(mode="json"), "vehicles": model.vehicles}
    )


def load_model_tensors(model: Embedder, path: Path) -> None:
    """Loads a model's own tensors, each of which must be there.

    Raises:
        SamecarError: the file is absent, damaged, or belongs to another model.
    """
    tensors = load_tensors(path)
    expected = model.state_dict()
    wrong = sorted(expected.keys() ^ tensors.keys()) or sorted(
        name for name, tensor in expected.items() if tensor.shape != tensors[name].shape
    )
    if wrong:
        raise SamecarError(f"{path} belongs to another model: {len(wrong)} tensors differ, first {wrong[0]}")
    model.load_state_dict(tensors)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file onto the CPU, wherever it was written.

    Raises:
        SamecarError: the file is absent or damaged.
    """
    try:
        return load_file(path, device="cpu")
    except (OSError, SafetensorError) as error:
        raise SamecarError(f"{path} cannot be read: {error}; resume from another checkpoint or train again") from error


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        SamecarError: the file is absent or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SamecarError(f"{path} cannot be read: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all."""
    with written_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _tensors(model: Embedder) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def _flatten_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Splits an optimiser's state into tensors, named `optimizer.PARAMETER.NAME`, and JSON."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {"groups": state["param_groups"], "state": {}}
    for parameter, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{parameter}.{name}"] = value.detach().cpu().contiguous()
            else:
                numbers["state"].setdefault(str(parameter), {})[name] = value
    return tensors, numbers


def _restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {int(parameter): dict(values) for parameter, values in numbers["state"].items()}
    for key, tensor in tensors.items():
        _, parameter, name = key.split(".", 2)
        state.setdefault(int(parameter), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": numbers["groups"]})


def _differences(first: Recipe, second: Recipe) -> str:
    """Names the options in which two recipes differ."""
    mine, theirs = first.model_dump(mode="json"), second.model_dump(mode="json")
    sentences = []
    for group, options in mine.items():
        if isinstance(options, dict):
            sentences += [
                f"{group}.{name} was {value!r} and is now {theirs[group][name]!r}"
                for name, value in options.items()
                if value != theirs[group][name]
            ]
    return ", ".join(sentences)
