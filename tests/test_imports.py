"""What importing brings along: whoever searches, serves or reads a set does not wait for torch."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from samecar.errors import EXTRAS

pytestmark = pytest.mark.light

WITHOUT_EXTRAS = (
    "samecar",
    "drawncars",
    "samecar.calibration.fitting",
    "samecar.cli.main",
    "samecar.config",
    "samecar.data.checking",
    "samecar.data.picture_batches",
    "samecar.data.sources.opening",
    "samecar.drawn",
    "samecar.embedding.encoder",
    "samecar.embedding.runtimes.onnx",
    "samecar.evaluation.records",
    "samecar.evaluation.scoring",
    "samecar.experiment.calibrate",
    "samecar.experiment.evaluate",
    "samecar.experiment.exported",
    "samecar.films",
    "samecar.linking.linking",
    "samecar.retrieval.export",
    "samecar.retrieval.folder.engine",
    "samecar.retrieval.gallery",
    "samecar.report.page",
    "samecar.serving.app",
    "samecar.similarity.counting",
    "samecar.similarity.distances",
    "samecar.similarity.exact",
    "samecar.similarity.expansion",
    "samecar.similarity.reranking",
    "samecar.similarity.thresholds",
)
"""Modules that may be imported where no library of an extra is."""


def run(code):
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()


def test_what_searches_scores_and_serves_brings_no_library_of_an_extra():
    """Importing one fails here, so that the error shows who does."""
    imports = f"[importlib.import_module(name) for name in {WITHOUT_EXTRAS}]"
    run(f"import importlib, sys; sys.modules |= dict.fromkeys({sorted(EXTRAS)}); {imports}")


@pytest.mark.skipif(find_spec("psycopg") is None, reason="it is an extra of its own")
def test_a_gallery_on_a_server_brings_no_torch():
    run("import sys; sys.modules['torch'] = None; import samecar.retrieval.postgres.engine")


def test_samecar_itself_brings_nothing_heavy():
    code = "import sys, samecar; print(*({'numpy', 'pydantic', 'PIL', 'torch', 'typer'} & set(sys.modules)))"
    assert run(code) == []


def test_the_renderer_brings_nothing_of_samecar():
    code = "import sys, drawncars; print(*(name for name in sys.modules if name.partition('.')[0] == 'samecar'))"
    assert run(code) == []
