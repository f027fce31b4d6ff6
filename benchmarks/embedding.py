"""How many pictures a second become vectors on disk, beside a plain loop and beside the network alone.

    python benchmarks/embedding.py
    python benchmarks/embedding.py --backbones resnet18 --sides 320 --seconds 2 --repeats 1 --result NAME

For each backbone, with random weights, and each size of files, by turns and on the same JPEG files: a plain loop as
the report's authors have it (Pillow, four loader processes, float32, batches of 100), samecar with torch alone, with
the same network exported in 32 and in 8 bits, in bfloat16 where the processor has it, and with quick reading. Each
goes from files to a file of vectors; the network alone is the plain loop's, on pictures that lie in memory. Ratios are
the median of those of the turns, cosines the lowest with the plain loop's vectors. For each size of files also reading
alone: the plain loop's loader, and samecar's threads, at 224 and 512 pixels. Files are drawn vehicles; many names stand
for a few files. What exporting in 8 bits costs in mAP is printed by `samecar export`, as it takes a trained network.

Writes results/embedding.json row by row; a row that is there is not measured again, unless --anew is given.
"""

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from clients import random_model
from numpy.typing import NDArray
from PIL import Image
from results import read_former, write_results
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import samecar
from drawncars import draw_vehicle
from samecar.cli.console import say
from samecar.cli.main import keep_freed_memory
from samecar.data.manifest import Manifest
from samecar.data.picture_batches import read_batches
from samecar.data.pictures import read_picture
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.encoder import Encoder
from samecar.embedding.exported import FORMAT, ExportFacts, Precision, Runner
from samecar.embedding.exporting import quantise, write_facts, write_onnx
from samecar.embedding.runtimes import quickening
from samecar.errors import SamecarError
from samecar.hardware import available_cores
from samecar.models.folders import EXPORTED_FILE
from samecar.preprocessing import Preprocessing, Reading

BACKBONES = ("resnet18", "mobilenetv3_small_100", "seresnext50_32x4d", "efficientnet_lite0")
PLAIN_BATCH, PLAIN_WORKERS = 100, 4
LEAST, DRAWN, LARGEST_DRAWN = 2 * PLAIN_BATCH, 24, 1024
READ_AT = (224, 512)

READINGS: tuple[Reading, ...] = ("exact", "quick")
TORCH_ALONE = "torch, frozen, float32"

PLAIN = "plain loop"
"""What the others are compared with."""

Way = Callable[[Manifest, Path], None]
"""From pictures to vectors in a file."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="*", default=BACKBONES)
    parser.add_argument("--sides", type=int, nargs="+", default=(320, 1920), help="longer side of the files")
    parser.add_argument("--seconds", type=float, default=20, help="of a turn of the plain loop, about")
    parser.add_argument("--repeats", type=int, default=3, help="turns")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--anew", action="store_true", help="measure also what is in the result file")
    parser.add_argument("--result", default="embedding", help="name of the result file")
    options = parser.parse_args()
    keep_freed_memory()
    rows = read_former(options.result, "rows", anew=options.anew)
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sides:
            files = draw_files(Path(folder) / str(side), side)
            wanted = {f"reading, {side}": partial(measure_reading, files, options)}
            wanted |= {f"{name}, {side}": partial(measure_network, name, files, options) for name in options.backbones}
            for name, measure in wanted.items():
                if name not in rows:
                    rows[name] = {**measure(), "seconds": options.seconds, "repeats": options.repeats}
                    path = write_results(options.result, {"seed": options.seed, "rows": rows})
                    say(f"{name}: {rows[name]}; wrote {path}")


def draw_files(folder: Path, side: int) -> list[Path]:
    """Different vehicles; a file that is larger than what can be drawn is enlarged, with the noise of a camera."""
    folder.mkdir()
    files = []
    for number in range(DRAWN):
        drawn = draw_vehicle(1 + number % 9, 1 + number % 10, vehicle=number, size=min(side, LARGEST_DRAWN))
        larger = drawn.resize([round(length * side / max(drawn.size)) for length in drawn.size])
        noise = np.random.default_rng(number).normal(0, 4, (larger.height, larger.width, 3))
        files.append(folder / f"{number}.jpg")
        Image.fromarray(np.clip(np.asarray(larger) + noise, 0, 255).astype(np.uint8)).save(files[-1], quality=90)
    return files


def name_files(files: list[Path], count: int) -> Manifest:
    """So many pictures, each of a vehicle of its own; they share the files."""
    folder = files[0].parent
    names = [f"{number:06d}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        if not (folder / name).exists():
            os.link(files[number % len(files)], folder / name)
    path, camera, split = (np.array(column, np.str_) for column in (names, ["c"] * count, ["gallery"] * count))
    return Manifest(folder, path, path, camera, split)


class PlainDataset(Dataset[torch.Tensor]):
    """Pictures as the report's authors read them."""

    def __init__(self, paths: list[str], preprocessing: Preprocessing) -> None:
        self.paths = paths
        self.transform = v2.Compose(
            [
                v2.Resize((preprocessing.height, preprocessing.width)),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(preprocessing.mean), list(preprocessing.deviation)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        with Image.open(self.paths[row]) as picture:
            transformed: torch.Tensor = self.transform(picture.convert("RGB"))
        return transformed


def plain_loader(manifest: Manifest, preprocessing: Preprocessing) -> Iterable[torch.Tensor]:
    """Batches as the report's authors make them."""
    dataset = PlainDataset(manifest.absolute_paths(), preprocessing)
    return DataLoader(dataset, batch_size=PLAIN_BATCH, num_workers=PLAIN_WORKERS)


@torch.inference_mode()
def plain_loop(network: nn.Module, preprocessing: Preprocessing, manifest: Manifest, out: Path) -> None:
    """Embeds as the report's authors do."""
    vectors = [network(batch).numpy() for batch in plain_loader(manifest, preprocessing)]
    np.save(out.with_suffix(".npy"), np.concatenate(vectors))


def embed(encoder: Encoder, manifest: Manifest, out: Path) -> None:
    """Embeds as `samecar embed` does an exported model."""
    encoder.embed_manifest(manifest, workers=available_cores()).save(out.with_suffix(".npz"))


@torch.inference_mode()
def network_alone(network: nn.Module, preprocessing: Preprocessing, seconds: float) -> float:
    """Pictures a second of the plain loop's network."""
    batch = torch.randn(PLAIN_BATCH, 3, preprocessing.height, preprocessing.width)
    network(batch)
    began, done = time.perf_counter(), 0
    while not done or time.perf_counter() - began < seconds:
        network(batch)
        done += len(batch)
    return done / (time.perf_counter() - began)


def measure_network(backbone: str, files: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Rates of all ways with one network."""
    trained = random_model(backbone, [path.read_bytes() for path in files], options.seed)
    network, preprocessing = trained.runtime.network, trained.preprocessing
    plain = network.to(memory_format=torch.contiguous_format)
    alone = network_alone(plain, preprocessing, options.seconds / 4)
    manifest = name_files(files, max(LEAST, round(options.seconds * alone)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        ways: dict[str, Way] = {PLAIN: partial(plain_loop, plain, preprocessing)}
        ways |= {name: partial(embed, encoder) for name, encoder in _encoders(trained, files, out).items()}
        rates = measure_by_turns(ways, manifest, out, options.repeats)
        vectors = {name: _read_vectors(out / name) for name in ways}
    return {
        "backbone": backbone,
        "pictures": len(manifest),
        "network_alone": round(alone, 2),
        "ways": {
            name: {
                "rates": [round(rate, 2) for rate in rates[name]],
                "ratio": round(_median_ratio(rates[name], rates[PLAIN]), 3),
                "of_network": round(float(np.median(rates[name])) / alone, 3),
                "cosine": float((vectors[name] * vectors[PLAIN]).sum(axis=1).min()),
            }
            for name in ways
        },
    }


def _encoders(trained: Encoder, files: list[Path], folder: Path) -> dict[str, Encoder]:
    """The ways of samecar by name, each loaded."""
    alone = {TORCH_ALONE: quickening.WAYS[TORCH_ALONE]}
    with patch.dict(quickening.WAYS, alone, clear=True):
        by_torch = Encoder(trained.files, "cpu")
        by_torch.quicken()
    encoders = {"torch": by_torch}
    exported, quantised = folder / "fp32.onnx", folder / "int8.onnx"
    write_onnx(trained.runtime.network, exported)
    size = trained.preprocessing.decoded_size
    quantise(exported, quantised, [trained.prepare(read_picture(file, size)) for file in files])
    kinds: dict[str, tuple[Path, Precision, Runner]] = {
        "exported fp32": (exported, "fp32", "onnxruntime"),
        "exported int8": (quantised, "int8", "onnxruntime"),
        "OpenVINO bf16": (exported, "bf16", "openvino"),
        "OpenVINO int8": (quantised, "int8", "openvino"),
    }
    for name, (path, precision, runner) in kinds.items():
        for reading in READINGS:
            write_facts(path, _facts(trained, precision, runner, reading))
            encoder = Encoder({EXPORTED_FILE: path.read_bytes()}, "cpu")
            try:
                encoder.load()
            except SamecarError as error:
                say(f"{name} is left out: {error}")
                break
            encoders[f"{name}{', quick reading' if reading == 'quick' else ''}"] = encoder
    return encoders


def _facts(trained: Encoder, precision: Precision, runner: Runner, reading: Reading) -> ExportFacts:
    """What `samecar export` would say of the file."""
    return ExportFacts(
        format=FORMAT,
        runner=runner,
        samecar=samecar.__version__,
        torch=torch.__version__,
        model=trained.digest,
        composition="",
        recipe=None,
        precision=precision,
        calibrated_on=None,
        preprocessing=replace(trained.preprocessing, reading=reading),
        embedding_size=trained.embedding_size,
        licence=None,
        initial_weights="none",
        epoch_choice="untrained",
        seed=None,
        trained_on=None,
        scores=(),
    )


def measure_by_turns(ways: dict[str, Way], manifest: Manifest, folder: Path, repeats: int) -> dict[str, list[float]]:
    """Pictures a second of each way, turn by turn; a short turn before warms up."""
    few = manifest.select(range(LEAST // 2))
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in ways.items():
        way(few, folder / name)
    for _ in range(repeats):
        for name, way in ways.items():
            gc.collect()
            began = time.perf_counter()
            way(manifest, folder / name)
            rates[name].append(len(manifest) / (time.perf_counter() - began))
    return rates


def measure_reading(files: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Rates of reading alone, at each size of networks."""
    return {"sizes": {str(size): _measure_reading_at(size, files, options) for size in READ_AT}}


def _measure_reading_at(size: int, files: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    exact = Preprocessing(size, size, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    def plain(manifest: Manifest, _out: Path) -> None:
        for _batch in plain_loader(manifest, exact):
            pass

    def by_threads(preprocessing: Preprocessing, manifest: Manifest, _out: Path) -> None:
        with closing(read_batches(manifest, preprocessing, 64, threads=available_cores())) as batches:
            for _batch in batches:
                pass

    began = time.perf_counter()
    plain(name_files(files, LEAST), files[0])
    rate = LEAST / (time.perf_counter() - began)
    manifest = name_files(files, max(LEAST, round(options.seconds / 2 * rate)))
    ways: dict[str, Way] = {
        PLAIN: plain,
        "exact": partial(by_threads, exact),
        "quick": partial(by_threads, replace(exact, reading="quick")),
    }
    rates = measure_by_turns(ways, manifest, files[0].parent, options.repeats)
    return {
        "pictures": len(manifest),
        "ways": {
            name: {
                "rates": [round(each, 1) for each in rates[name]],
                "ratio": round(_median_ratio(rates[name], rates[PLAIN]), 3),
            }
            for name in ways
        },
    }


def _median_ratio(rates: list[float], plain: list[float]) -> float:
    return float(np.median([rate / other for rate, other in zip(rates, plain, strict=True)]))


def _read_vectors(path: Path) -> NDArray[np.float32]:
    """Vectors of length one that a way has written."""
    written = path.with_suffix(".npz")
    matrix = Embeddings.load(written).matrix if written.is_file() else np.load(path.with_suffix(".npy"))
    unit: NDArray[np.float32] = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main()
