"""Runs functions of tests in several processes that meet as torchrun's do, and takes back what they give."""

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

PATIENCE = 600
"""Seconds; a busy machine takes its time."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environments(count: int) -> list[dict[str, str]]:
    """What torchrun tells each of several processes on this machine."""
    port = free_port()
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        {
            **os.environ,
            **shared,
            "RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(count),
            "TORCH_CPP_LOG_LEVEL": "ERROR",
        }
        for rank in range(count)
    ]


def run_together(count: int, function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """Calls a function of a test's module in several processes; gives what each has given, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arguments").write_bytes(pickle.dumps(arguments))
    command = [sys.executable, __file__, function.__module__, function.__name__, str(folder)]
    started = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for environment in environments(count)
    ]
    try:
        told = [process.communicate(timeout=PATIENCE)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * count, "\n".join(told)
    return [pickle.loads((folder / f"result-{rank}").read_bytes()) for rank in range(count)]


def main(module: str, name: str, folder: str) -> None:
    from samecar.hardware import machine
    from samecar.processes import take_part

    arguments = pickle.loads((Path(folder) / "arguments").read_bytes())
    function = getattr(import_module(module), name)
    with take_part(machine("cpu", 0)) as processes:
        result = function(processes, *arguments)
    (Path(folder) / f"result-{processes.rank}").write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), *(str(path) for path in Path(__file__).parent.glob("*/"))]
    main(*sys.argv[1:])
