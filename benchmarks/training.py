"""How many pictures a second a network learns from, beside a plain loop and beside the network alone.

    python benchmarks/training.py
    python benchmarks/training.py --backbones resnet18 --seconds 2 --repeats 1 --ways default --result NAME
    python benchmarks/training.py --device cuda --backbones resnet18 seresnext50_32x4d --result training-gpu

For each backbone, with random weights, at 224 × 224 in batches of 32, by turns and from the same JPEG files: a plain
loop as the report's authors have it (Pillow, four loader processes, float32, planes of colour, Adam, cross-entropy and
triplet loss), and `samecar train`: as the report's rows are trained (reference), by default, with pictures kept in
memory, compiled, in bfloat16 where the chip has it, and with all of these. The network alone learns from one batch in
memory by the same step (channels last, fused), again in float32 and as each way has it. A turn is timed after its first
batches. Ratios are the median of those of the turns. `waiting` is the share of the time in which the network waits for
pictures; the timeline has milliseconds of a batch. The share of the peak is that of large products of matrices in the
same precision, measured here.

Writes results/NAME.json network by network; one that is there is not measured again, unless --anew is given.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any, cast

import numpy as np
import timm
import torch
from embedding import draw_files, name_files
from PIL import Image
from results import read_former, write_results
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from samecar.cli.console import say
from samecar.cli.main import keep_freed_memory
from samecar.config import Recipe, load_recipe
from samecar.data import (
    Delivery,
    FailureLog,
    Manifest,
    PictureLoader,
    class_numbers,
    plan_batches,
    training_loader,
    training_transform,
)
from samecar.data.kept_pictures import keep_pictures
from samecar.experiment.train import initial_model
from samecar.hardware import REFERENCE, Machine, Speed, available_cores, find_device, has_bfloat16, has_compiler
from samecar.progress import silent
from samecar.reproduce.costs import network_costs
from samecar.training import Learner
from samecar.training.loop import TrainingProgress, train_epoch

BACKBONES = ("resnet18", "mobilenetv3_small_100", "seresnext50_32x4d")
SIDE, BATCH, OF_A_VEHICLE, VEHICLES = 224, 32, 4, 576
PLAIN_WORKERS = 4
WARM = 3
"""Batches of a turn that are not timed."""

PLAIN, ALONE = "plain loop", "network alone"
TRAINING_OPERATIONS = 3
"""Operations of a training step, in those of a forward pass."""

PHASES = ("waiting", "forward", "loss", "backward", "step")


@dataclass(frozen=True)
class Way:
    """A way that samecar trains."""

    speed: Speed
    precision: str = "float32"


def ways_here(device: torch.device, names: Sequence[str]) -> dict[str, Way]:
    """The ways that this machine has, or those of them that are named."""
    compiled, kept = Speed(compile=True), Speed(cache="memory")
    ways = {"reference": Way(REFERENCE), "default": Way(Speed()), "cache": Way(kept)}
    if has_compiler():
        ways["compiled"] = Way(compiled)
    if has_bfloat16(device):
        ways["bfloat16"] = Way(Speed(), "bfloat16")
        if has_compiler():
            ways["all"] = Way(replace(compiled, cache="memory"), "bfloat16")
    return {name: way for name, way in ways.items() if not names or name in names}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="*", default=BACKBONES)
    parser.add_argument("--ways", nargs="*", default=(), help="of samecar; by default all that the machine has")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", type=int, default=320, help="longer side of the files")
    parser.add_argument("--seconds", type=float, default=6, help="of a turn")
    parser.add_argument("--repeats", type=int, default=3, help="turns")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--anew", action="store_true", help="measure also what is in the result file")
    parser.add_argument("--result", default="training", help="name of the result file")
    options = parser.parse_args()
    keep_freed_memory()
    device = find_device(options.device)
    rows = read_former(options.result, "rows", anew=options.anew)
    with tempfile.TemporaryDirectory() as folder:
        training = name_vehicles(draw_files(Path(folder) / "files", options.side))
        for backbone in options.backbones:
            if backbone not in rows:
                rows[backbone] = measure_network(backbone, training, device, options)
                path = write_results(options.result, {"device": _name(device), "rows": rows})
                say(f"{backbone}: {rows[backbone]}; wrote {path}")


def name_vehicles(files: list[Path]) -> Manifest:
    """Train pictures of vehicles with four each; they share the files."""
    named = name_files(files, VEHICLES * OF_A_VEHICLE)
    vehicles = np.array([f"{row // OF_A_VEHICLE:04d}" for row in range(len(named))], np.str_)
    return replace(named, vehicle_id=vehicles, split=np.full(len(named), "train"))


@dataclass
class Watched:
    """Batches for so many seconds after the first ones; notes how quickly they go and how long each is waited for."""

    batches: Iterable[Any]
    seconds: float
    device: torch.device
    done: int = 0
    waited: float = 0.0
    took: float = 0.0

    def __len__(self) -> int:
        return 10**6  # nobody knows; the rate of learning does not depend on it here

    def __iter__(self) -> Iterator[Any]:
        began = asked = 0.0
        for number, batch in enumerate(self.batches):
            if number > WARM:
                self.waited += time.perf_counter() - asked
            yield batch
            if number >= WARM:
                if number == WARM:
                    began = self._now()
                else:
                    self.done += 1
                asked = time.perf_counter()
                self.took = asked - began
                if self.done and self.took >= self.seconds:
                    break
        self.took = self._now() - began
        if isinstance(self.batches, Generator):
            self.batches.close()  # ends who reads ahead

    def _now(self) -> float:
        _await(self.device)
        return time.perf_counter()

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.done * BATCH / self.took

    @property
    def waiting(self) -> float:
        """The share of the time that is waited for pictures."""
        return self.waited / self.took


@dataclass
class Side:
    """What learns one way, and the batches that it learns from; made once, and used in each turn."""

    learner: Learner
    loader: PictureLoader
    training: Manifest
    plan: Any
    epoch: int = 0

    def learn(self, batches: Watched) -> Watched:
        """Learns as `samecar train` does, in an epoch of these batches."""
        telling = TrainingProgress(silent, self.epoch + 1, self.learner.device)
        telling.begin_epoch(self.epoch, len(batches))
        train_epoch(self.learner, cast(PictureLoader, batches), 0, FailureLog(self.training), telling)
        return batches

    def from_files(self, seconds: float) -> Watched:
        """A turn that reads."""
        return self.learn(Watched(self.read(), seconds, self.learner.device))

    def from_memory(self, seconds: float) -> Watched:
        """A turn on one batch in memory."""
        batch = next(iter(self.loader))
        return self.learn(Watched(repeat(batch), seconds, self.learner.device))

    def read(self) -> Iterator[Any]:
        """Batches of one epoch after the other."""
        while True:
            self.epoch += 1
            self.plan.set_epoch(self.epoch)
            yield from self.loader


def make_side(recipe: Recipe, way: Way, training: Manifest, device: torch.device) -> Side:
    """Readies a way of samecar."""
    training_settings = recipe.training.model_copy(update={"precision": way.precision})
    recipe = recipe.model_copy(update={"training": training_settings})
    learner = Learner(initial_model(recipe, training.vehicle_count), recipe, device, way.speed)
    plan = plan_batches(training, recipe.batch, recipe.training.seed)
    transform = training_transform(learner.model.preprocessing, recipe.augmentation)
    delivery = Delivery(device, way.speed.channels_last)
    labels = class_numbers(training.vehicle_id)
    kept = keep_pictures(training, transform, Machine(str(device), available_cores(), way.speed))
    loader = training_loader(training, labels, transform, plan, available_cores(), delivery, kept)
    return Side(learner, loader, training, plan)


class PlainDataset(Dataset[tuple[Tensor, int]]):
    """Pictures as the report's authors read them."""

    def __init__(self, training: Manifest, recipe: Recipe) -> None:
        self.paths = training.absolute_paths()
        self.labels = class_numbers(training.vehicle_id).tolist()
        larger = round(SIDE * 1.125)
        moved = v2.Compose([v2.Resize((larger, larger)), v2.RandomCrop((SIDE, SIDE))])
        augmentation = recipe.augmentation
        chances = [augmentation.translation, 1 - augmentation.translation]
        self.transform = v2.Compose(
            [
                v2.RandomChoice([moved, v2.Resize((SIDE, SIDE))], p=chances),
                v2.RandomHorizontalFlip(augmentation.flip),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[row]) as picture:
            return self.transform(picture.convert("RGB")), self.labels[row]


class PlainNetwork(nn.Module):
    """A backbone, dropout and a classifier."""

    def __init__(self, recipe: Recipe, vehicles: int) -> None:
        super().__init__()
        self.backbone = timm.create_model(recipe.model.backbone, pretrained=False, num_classes=0)
        width = self.backbone(torch.zeros(1, 3, SIDE, SIDE)).shape[1]
        self.dropout = nn.Dropout(recipe.model.dropout)
        self.classifier = nn.Linear(width, vehicles)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features and scores of the train vehicles."""
        features = self.backbone(pictures)
        return features, self.classifier(self.dropout(features))


@dataclass
class Plain:
    """The report's loop."""

    recipe: Recipe
    training: Manifest
    device: torch.device
    network: PlainNetwork = field(init=False)
    optimizer: Adam = field(init=False)
    loader: DataLoader[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.network = PlainNetwork(self.recipe, self.training.vehicle_count).to(self.device)
        chosen = self.recipe.optimizer
        self.optimizer = Adam(self.network.parameters(), chosen.learning_rate, weight_decay=chosen.weight_decay)
        plan = plan_batches(self.training, self.recipe.batch, 1)
        rows = [[draw.row for draw in batch] for batch in plan]
        dataset = PlainDataset(self.training, self.recipe)
        self.loader = DataLoader(
            dataset, batch_sampler=rows, num_workers=PLAIN_WORKERS, pin_memory=self.device.type == "cuda"
        )

    def turn(self, seconds: float) -> Watched:
        """Learns for so many seconds."""
        self.network.train()
        watched = Watched(self._epochs(), seconds, self.device)
        margin = self.recipe.loss.margin
        for pictures, labels in watched:
            pictures, labels = pictures.to(self.device), labels.to(self.device)
            features, scores = self.network(pictures)
            distances = torch.cdist(features, features)
            same = labels[:, None] == labels[None, :]
            farthest = distances.masked_fill(~same, 0).max(dim=1).values
            nearest = distances.masked_fill(same, torch.inf).min(dim=1).values
            loss = nn.functional.cross_entropy(scores, labels) + (farthest - nearest + margin).relu().mean()
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            loss.item()
        return watched

    def _epochs(self) -> Iterator[Any]:
        while True:
            yield from self.loader


def measure_network(
    backbone: str, training: Manifest, device: torch.device, options: argparse.Namespace
) -> dict[str, Any]:
    """Rates of all ways with one network."""
    recipe = load_recipe(
        "report-baseline",
        [
            f"model.backbone={backbone}",
            "model.weights=none",
            *(
                ["model.batch_norm_epsilon=1e-5", "model.batch_norm_momentum=0.1"]
                if "mobilenet" not in backbone
                else []
            ),
            f"model.height={SIDE}",
            f"model.width={SIDE}",
            f"batch.size={BATCH}",
            f"batch.pictures_per_vehicle={OF_A_VEHICLE}",
            f"training.seed={options.seed}",
        ],
    )
    plain = Plain(recipe, training, device)
    ways = ways_here(device, options.ways)
    sides = {name: make_side(recipe, way, training, device) for name, way in ways.items()}
    turns: dict[str, Callable[[float], Watched]] = {PLAIN: plain.turn}
    turns[ALONE] = make_side(recipe, Way(Speed()), training, device).from_memory
    turns |= {name: side.from_files for name, side in sides.items()}
    found: dict[str, list[Watched]] = {name: [] for name in turns}
    memory: dict[str, int] = {}
    for name, turn in turns.items():
        _forget_peak(device)
        turn(min(2.0, options.seconds))  # the first batches also compile, and choose how to calculate
        memory[name] = _peak(device)
    for _ in range(options.repeats):
        for name, turn in turns.items():
            gc.collect()
            found[name].append(turn(options.seconds))
    operations = 2 * TRAINING_OPERATIONS * network_costs(recipe.model).multiply_adds
    peaks = {precision: measure_peak(precision, device) for precision in {way.precision for way in ways.values()}}
    alone = found[ALONE]
    told = {name: _tell(found[name], found[PLAIN], alone) for name in turns}
    for name, side in sides.items():
        own = [side.from_memory(options.seconds / 2) for _ in range(options.repeats)]
        told[name]["share_of_own_network_alone"] = round(_ratio(found[name], own), 3)
        told[name]["timeline"] = draw_timeline(side)
        rate = float(np.median([turn.rate for turn in found[name]]))
        told[name]["share_of_peak"] = round(rate * operations / peaks[ways[name].precision], 3)
        if device.type == "cuda":
            told[name]["memory_bytes"] = memory[name]
    return {
        "batch": BATCH,
        "side": SIDE,
        "files": options.side,
        "seconds": options.seconds,
        "repeats": options.repeats,
        "operations_per_picture": operations,
        "peak_operations_per_second": peaks,
        "ways": told,
    }


def _tell(turns: list[Watched], plain: list[Watched], alone: list[Watched]) -> dict[str, Any]:
    return {
        "rates": [round(turn.rate, 2) for turn in turns],
        "ratio_to_plain": round(_ratio(turns, plain), 3),
        "share_of_network_alone": round(_ratio(turns, alone), 3),
        "waiting": round(float(np.median([turn.waiting for turn in turns])), 4),
    }


def _ratio(turns: list[Watched], others: list[Watched]) -> float:
    return float(np.median([turn.rate / other.rate for turn, other in zip(turns, others, strict=True)]))


TIMELINE_BATCHES = 8


def draw_timeline(side: Side) -> dict[str, float]:
    """Milliseconds of a batch in each phase; on a GPU each phase is waited for, so that they add up to more."""
    spent = dict.fromkeys(PHASES, 0.0)
    learner, device = side.learner, side.learner.device

    def timed(phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            _await(device)
            began = time.perf_counter()
            result = work(*given)
            _await(device)
            spent[phase] += time.perf_counter() - began
            return result

        return run

    outputs, objective, step = learner.outputs, learner.objective.forward, learner.step
    learner.outputs = timed("forward", outputs)  # type: ignore[method-assign]
    learner.objective.forward = timed("loss", objective)  # type: ignore[method-assign]
    learner.step = timed("step", step)  # type: ignore[method-assign]
    learn = learner.learn
    learner.learn = timed("backward", learn)  # type: ignore[method-assign]

    def some() -> Iterator[Any]:
        for count, batch in enumerate(islice(side.read(), WARM + TIMELINE_BATCHES)):
            if count == WARM:
                spent.update(dict.fromkeys(PHASES, 0.0))
            yield batch

    try:
        watched = side.learn(Watched(some(), float("inf"), device))
    finally:
        del learner.outputs, learner.step, learner.learn, learner.objective.forward
    spent["waiting"] = watched.waited * TIMELINE_BATCHES / max(1, watched.done)
    spent["backward"] -= spent["step"]  # which it ends with
    return {phase: round(1000 * seconds / TIMELINE_BATCHES, 2) for phase, seconds in spent.items()}


def measure_peak(precision: str, device: torch.device, side: int = 2048) -> float:
    """Operations a second of a product of two large matrices."""
    one, other = (torch.randn(side, side, device=device, dtype=getattr(torch, precision)) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        _await(device)
        began = time.perf_counter()
        torch.mm(one, other)
        _await(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def _await(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


if __name__ == "__main__":
    main()
