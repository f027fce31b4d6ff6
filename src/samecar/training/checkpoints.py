"""What is kept of a training run: tensors as safetensors, all else as JSON; nothing is pickled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from samecar.errors import SamecarError
from samecar.files import read_json, write_json, written_file
from samecar.models import Embedder


@dataclass(frozen=True)
class Checkpoint:
    """All that changes while a model is trained, the random state included."""

    model: Embedder
    optimizer: Optimizer
    scaler: GradScaler

    def save(self, folder: Path, epoch: int) -> None:
        """Writes the state after `epoch` epochs into a folder."""
        tensors, numbers = _flatten_optimizer(self.optimizer)
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        state = {"epoch": epoch, "optimizer": numbers, "scaler": self.scaler.state_dict()}
        save_file(_tensors(self.model), folder / "model.safetensors")
        save_file(tensors, folder / "state.safetensors")
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
        load_model_tensors(self.model, folder / "model.safetensors")
        torch.set_rng_state(tensors.pop("random.cpu"))
        cuda = tensors.pop("random.cuda", None)
        if cuda is not None and next(self.model.parameters()).device.type == "cuda":
            torch.cuda.set_rng_state(cuda)
        _restore_optimizer(self.optimizer, tensors, state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        return int(state["epoch"])


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
