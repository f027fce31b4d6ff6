"""What is measured on a GPU is what is measured on a processor."""

import numpy as np
import pytest
from conftest import paint_source
from tiny_run import tiny_run

import samecar
from samecar.embedding.encoder import Encoder
from samecar.evaluation import Options
from samecar.similarity.counting import Work
from samecar.similarity.reranking import KReciprocal
from samecar.training import RunData

pytestmark = pytest.mark.gpu

DEVICES = ("cuda", "cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(
        tmp_path_factory.mktemp("gpu") / "run", data=RunData("painted", "0" * 16, 6, ["a", "b", "c"])
    ).folder


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    return paint_source(tmp_path_factory.mktemp("scored"), train=2, test=40)


def assert_close(there, here):
    np.testing.assert_allclose(np.asarray(there), np.asarray(here), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("flip", [False, True])
def test_embeddings(run, scored, flip):
    there, here = (
        samecar.embed_with(run, scored, flip=flip, on=samecar.machine(device, 0), reference=True) for device in DEVICES
    )
    assert_close(there.matrix, here.matrix)


def test_an_encoders_embeddings(run, scored):
    manifest = samecar.open_source(scored)
    there, here = (Encoder.open(run, device=device).embed_manifest(manifest) for device in DEVICES)
    assert_close(there.matrix, here.matrix)


@pytest.mark.parametrize("rerank", [None, KReciprocal()])
def test_scores(run, scored, rerank):
    there, here = (
        samecar.evaluate(
            run, scored, options=Options(rerank=rerank, work=Work(device=device)), on=samecar.machine(device, 0)
        )
        for device in DEVICES
    )
    assert there.mean_average_precision == pytest.approx(here.mean_average_precision, abs=2e-3)
    assert there.cmc[1] == pytest.approx(here.cmc[1], abs=0.03)


def test_calibrations(run, tmp_path):
    others = paint_source(tmp_path / "others", train=40, test=0)
    there, here = (
        samecar.calibrate(run, others, on=samecar.machine(device, 0)).calibration.same_threshold for device in DEVICES
    )
    assert there == pytest.approx(here, abs=1e-2)
