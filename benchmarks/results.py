"""Result files of the benchmarks: what was measured, and where it came from."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "scipy", "torch", "timm", "pillow")


def write_results(name: str, content: dict[str, Any]) -> Path:
    """Writes results/NAME.json with the commit, the machine's shape and the libraries beside the content."""
    path = FOLDER / f"{name}.json"
    record = {
        "commit": _git("rev-parse", "HEAD") + ("" if not _git("status", "--porcelain", "src") else " with changes"),
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "libraries": {library: version(library) for library in LIBRARIES},
        **content,
    }
    FOLDER.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read_results(name: str) -> dict[str, Any]:
    """Reads results/NAME.json."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent.parent
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
