"""Result files of the benchmarks: what was measured, and where it came from."""

import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from samecar.files import write_json

FOLDER = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "scipy", "torch", "timm", "pillow")


def write_results(name: str, content: dict[str, Any]) -> Path:
    """Writes results/NAME.json with the commit, the machine's shape and the libraries beside the content."""
    path = FOLDER / f"{name}.json"
    record = {
        "commit": commit(),
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "libraries": {library: version(library) for library in LIBRARIES},
        **content,
    }
    write_json(path, record)
    return path


def read_results(name: str) -> dict[str, Any]:
    """Reads results/NAME.json."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def read_former(name: str, key: str, *, anew: bool = False) -> Any:
    """What a result file has under a key, for a benchmark that goes on with it; nothing where it is made anew."""
    return {} if anew or not (FOLDER / f"{name}.json").is_file() else read_results(name)[key]


@cache
def commit() -> str:
    """What is measured: the commit, and whether the source differs from it, when it is first asked for."""
    return _git("rev-parse", "HEAD") + ("" if not _git("status", "--porcelain", "src") else " with changes")


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent.parent
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
