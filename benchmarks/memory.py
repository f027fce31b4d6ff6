"""How much memory `samecar embed` takes, however many pictures there are.

    python benchmarks/memory.py
    python benchmarks/memory.py --pictures 1000 2000 --result NAME

Many names stand for a few small files, listed in a table; the network is tiny, so that reading and keeping accounts is
all the work. The command runs in a process of its own. Its own memory (RssAnon, Linux) is looked at every fifth of a
second, as what it reads from files that lie on the disk anyway does not count; the highest value is kept. What it
holds for each further picture is the slope between the two largest sets.

Writes results/memory.json.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from results import write_results

from samecar.cli.console import say
from samecar.embedding.foreign import state_preprocessing

SIDE, SIZE, FILES, CAMERAS = 32, 64, 24, 20

EVERY = 0.2
"""Seconds between two looks."""


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--result", default="memory", help="name of the result file")
    options = parser.parse_args()
    rows = []
    for pictures in sorted(options.pictures):
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"pictures": pictures, **measure(Path(folder), pictures)})
        say(f"{rows[-1]}")
    grown = {"rows": rows}
    if len(rows) > 1:
        before, last = rows[-2:]
        more = 1e6 * (last["own_megabytes"] - before["own_megabytes"])
        grown["bytes_a_picture"] = round(more / (last["pictures"] - before["pictures"]))
    path = write_results(options.result, {"side": SIDE, "size": SIZE, **grown})
    say(f"{grown.get('bytes_a_picture')} bytes for each further picture; wrote {path}")


def measure(folder: Path, pictures: int) -> dict[str, Any]:
    """Seconds and megabytes (10⁶ bytes) of the command."""
    table, model = write_table(folder, pictures), write_model(folder / "tiny.onnx")
    command = [sys.executable, "-m", "samecar", "embed", model, "--data", f"csv:{table}", "--out", folder / "out.npz"]
    began, most = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        while running.poll() is None:
            most = max(most, own_memory(running.pid))
            time.sleep(EVERY)
        assert running.stderr is not None
        if running.returncode:
            raise SystemExit(running.stderr.read().decode())
    seconds = time.perf_counter() - began
    return {
        "seconds": round(seconds, 1),
        "own_megabytes": round(most, 1),
        "written_megabytes": round((folder / "out.npz").stat().st_size / 1e6, 1),
    }


def own_memory(process: int) -> float:
    """Megabytes that a process holds besides what it has mapped of files; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) * 1.024e-3 for line in lines if line.startswith("RssAnon:")), 0.0)


def write_table(folder: Path, pictures: int) -> Path:
    """A table of pictures, whose names stand for `FILES` files."""
    generator = np.random.default_rng(1)
    for number in range(FILES):
        pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"drawn{number}.jpg")
    path = folder / "pictures.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "vehicle_id", "camera_id", "split"])
        for number in range(pictures):
            name = f"{number:08d}.jpg"
            os.link(folder / f"drawn{number % FILES}.jpg", folder / name)
            writer.writerow([name, f"v{number // 8:07d}", f"c{number % CAMERAS:03d}", "gallery"])
    return path


def write_model(path: Path) -> Path:
    """A network that multiplies the mean of each colour by a matrix."""
    matrix = np.random.default_rng(0).normal(size=(3, SIZE)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["picture", "axes"], ["colour"], keepdims=0),
            helper.make_node("MatMul", ["colour", "matrix"], ["feature"]),
        ],
        "colours",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["n", SIZE])],
        [numpy_helper.from_array(np.array([2, 3]), "axes"), numpy_helper.from_array(matrix, "matrix")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    state_preprocessing(path, f"{SIDE}x{SIDE}:half")
    return path


if __name__ == "__main__":
    main()
