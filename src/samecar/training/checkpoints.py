"""What resuming a training run needs: tensors as safetensors, all else as JSON; nothing is pickled."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from samecar.errors import SamecarError
from samecar.files import read_json, write_folder
from samecar.models import Embedder
from samecar.models.saved import TENSORS_FILE, load_model_tensors, load_tensors, model_tensors, save_tensors
from samecar.processes import Processes

WAYS_TO_STEP = ("fused", "foreach")
"""Options of an optimiser that say how it calculates, not what; each machine has its own."""

STATES = "checkpoints"
"""The folder of states in a run's folder."""


@dataclass(frozen=True)
class Checkpoint:
    """All that changes while a model is trained, the random state included.

    Attributes:
        model: that is trained.
        optimizer: with the rates and averages of its parameters.
        scaler: of the gradients of float16.
        objective: its tensors, if it has any, are a file of their own.
        average: likewise, of a recipe with an average of the weights.
    """

    model: Embedder
    optimizer: Optimizer
    scaler: GradScaler
    objective: nn.Module
    average: nn.Module | None = None

    def save(self, folder: Path, epoch: int) -> None:
        """Writes the state after `epoch` epochs into a folder."""
        tensors, numbers = _flatten_optimizer(self.optimizer)
        tensors["random.cpu"] = torch.get_rng_state()
        device = next(self.model.parameters()).device
        if device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(device)
        state = {"epoch": epoch, "optimizer": numbers, "scaler": self.scaler.state_dict()}
        save_tensors(model_tensors(self.model), folder / TENSORS_FILE)
        save_tensors(tensors, folder / "state.safetensors")
        for name, module in self._further():
            save_tensors(model_tensors(module), folder / name)
        (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")

    def load(self, folder: Path) -> int:
        """Puts everything back to what a folder holds; a state saved on a GPU loads on a machine without one.

        Returns:
            The number of epochs that it holds.

        Raises:
            SamecarError: a file is absent, damaged or of another model.
        """
        state = read_json(folder / "state.json")
        tensors = load_tensors(folder / "state.safetensors")
        load_model_tensors(self.model, folder / TENSORS_FILE)
        for name, module in self._further():
            load_model_tensors(module, folder / name)
        torch.set_rng_state(tensors.pop("random.cpu"))
        cuda = tensors.pop("random.cuda", None)
        device = next(self.model.parameters()).device
        if cuda is not None and device.type == "cuda":
            torch.cuda.set_rng_state(cuda, device)
        _restore_optimizer(self.optimizer, tensors, state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        return int(state["epoch"])

    def share(self, processes: Processes) -> None:
        """Gives all processes what the first one has, but for the random state, which is each process's own."""
        if processes.count == 1:
            return
        tensors, numbers, scaler = processes.once(
            lambda: (*_flatten_optimizer(self.optimizer), self.scaler.state_dict())
        )
        _restore_optimizer(self.optimizer, tensors, numbers)
        self.scaler.load_state_dict(scaler)
        for module in filter(None, (self.model, self.objective, self.average)):
            processes.share([*module.state_dict().values()])

    def replace_last(self, run: Path, epoch: int) -> None:
        """Writes the state after `epoch` epochs into a run's folder, and removes the one before it."""
        folder = run / STATES / f"epoch-{epoch:04d}"
        shutil.rmtree(folder, ignore_errors=True)
        with write_folder(folder) as temporary:
            self.save(temporary, epoch)
        for other in saved_states(run):
            if other != folder:
                shutil.rmtree(other)

    def load_last(self, run: Path) -> int:
        """Loads the last state in a run's folder; gives the number of epochs that it holds.

        Raises:
            SamecarError: there is none, or it is damaged.
        """
        saved = saved_states(run)
        if not saved:
            raise SamecarError(f"{run} has no checkpoint to resume from; remove the folder and train from the start")
        return self.load(saved[-1])

    def _further(self) -> list[tuple[str, nn.Module]]:
        """Modules beside the model that have tensors, and their files."""
        named = (("objective.safetensors", self.objective), ("average.safetensors", self.average))
        return [(name, module) for name, module in named if module is not None and module.state_dict()]


def saved_states(run: Path) -> list[Path]:
    """Folders of the states in a run's folder, that of the fewest epochs first."""
    return sorted((run / STATES).glob("epoch-*"))


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
    ways = [{name: group[name] for name in WAYS_TO_STEP if name in group} for group in optimizer.param_groups]
    groups = [saved | way for saved, way in zip(numbers["groups"], ways, strict=True)]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for layout in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        values = optimizer.state.get(layout, {})
        for name, value in values.items():
            if isinstance(value, Tensor) and value.ndim and value.shape == layout.shape:
                values[name] = torch.empty_like(layout).copy_(value)  # fused steps need the parameter's layout
