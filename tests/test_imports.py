"""What importing brings along: whoever searches, serves or reads a set does not wait for torch."""

import subprocess
import sys

WITHOUT_TORCH = (
    "samecar",
    "drawncars",
    "samecar.calibration",
    "samecar.cli.main",
    "samecar.config",
    "samecar.data",
    "samecar.data.checking",
    "samecar.data.picture_batches",
    "samecar.data.sources.opening",
    "samecar.drawn",
    "samecar.films",
    "samecar.retrieval.folder.engine",
    "samecar.retrieval.gallery",
    "samecar.retrieval.postgres.engine",
    "samecar.serving.app",
    "samecar.similarity.counting",
    "samecar.similarity.distances",
    "samecar.similarity.exact",
    "samecar.similarity.products",
    "samecar.similarity.reranking",
    "samecar.similarity.thresholds",
)
"""Modules that may be imported where there is no torch."""


def run(code):
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()


def test_torch_is_not_brought_along():
    """Importing it fails here, so that the error shows who does."""
    imports = f"[importlib.import_module(name) for name in {WITHOUT_TORCH}]"
    run(f"import importlib, sys; sys.modules['torch'] = None; {imports}")


def test_samecar_itself_brings_nothing_heavy():
    code = "import sys, samecar; print(*({'numpy', 'pydantic', 'PIL', 'torch', 'typer'} & set(sys.modules)))"
    assert run(code) == []


def test_the_renderer_brings_nothing_of_samecar():
    code = "import sys, drawncars; print(*(name for name in sys.modules if name.partition('.')[0] == 'samecar'))"
    assert run(code) == []
