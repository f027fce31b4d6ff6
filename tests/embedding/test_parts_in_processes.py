"""Embedding, scoring and calibrating in several processes: the same as in one, each picture embedded once."""

import shutil

import numpy as np
import pytest
from conftest import paint_source
from PIL import Image
from several_processes import run_together
from test_embedding_parts import COUNT, Counting
from tiny_run import tiny_run

import samecar
from samecar.data import open_source
from samecar.embedding import parts
from samecar.embedding.parts import Maker, embed_in_parts
from samecar.processes import ALONE
from samecar.progress import silent
from samecar.training import RunData

pytestmark = pytest.mark.slow


def numbered(folder):
    folder.mkdir()
    for number in range(COUNT):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"v{number:02d}_c1.png")
    return f"folder:{folder}/{{vehicle_id}}_{{camera_id}}.png"


def embed_numbers(processes, source, kept, size, stop_at):
    """What a process has embedded, and what it then has of all; None where it was stopped."""
    parts.PART, parts.BATCH = size, 2
    mine = Counting(stop_at if processes.first else COUNT)
    try:
        found = embed_in_parts(open_source(source), Maker("model", "torch", mine), kept, silent, processes=processes)
    except KeyboardInterrupt:
        return mine.embedded, None
    return mine.embedded, np.asarray(found.matrix)


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Sizes of parts, which `embed_numbers` sets in this process too, are in the end what they were."""
    monkeypatch.setattr(parts, "BATCH", parts.BATCH)
    monkeypatch.setattr(parts, "PART", parts.PART)


def test_each_process_embeds_its_parts_and_all_have_the_whole(tmp_path):
    source, expected = numbered(tmp_path / "made"), [[each, each**2] for each in range(COUNT)]
    (first, whole), (second, other) = run_together(
        2, embed_numbers, tmp_path / "run", source, tmp_path / "kept", 5, COUNT
    )
    assert (first, second) == ([*range(5), *range(10, 15), *range(20, 23)], [*range(5, 10), *range(15, 20)])
    np.testing.assert_array_equal(whole, expected)
    np.testing.assert_array_equal(other, expected)
    (joined,) = (tmp_path / "kept").iterdir()
    content = joined.read_bytes()
    shutil.rmtree(tmp_path / "kept")
    embed_numbers(ALONE, source, tmp_path / "kept", 5, COUNT)
    assert joined.read_bytes() == content


def test_what_one_process_was_stopped_at_another_number_of_them_goes_on_with(tmp_path):
    source = numbered(tmp_path / "made")
    assert embed_numbers(ALONE, source, tmp_path / "kept", 5, 12) == ([*range(10)], None)
    results = run_together(2, embed_numbers, tmp_path / "run", source, tmp_path / "kept", 5, COUNT)
    assert [embedded for embedded, _ in results] == [[*range(10, 15), *range(20, 23)], [*range(15, 20)]]
    np.testing.assert_array_equal(results[1][1], [[each, each**2] for each in range(COUNT)])


@pytest.mark.long
def test_a_small_set_is_parted_in_whole_batches(tmp_path):
    source = numbered(tmp_path / "made")
    results = run_together(4, embed_numbers, tmp_path / "run", source, tmp_path / "kept", 100, COUNT)
    assert [embedded for embedded, _ in results] == [[*range(6)], [*range(6, 12)], [*range(12, 18)], [*range(18, 23)]]
    for _, matrix in results:
        np.testing.assert_array_equal(matrix, [[each, each**2] for each in range(COUNT)])
    assert not (tmp_path / "kept").exists()


def measure(processes, run, source, train_source):
    """Scores and calibration by the functions that anybody calls."""
    on = samecar.machine("cpu", 0)
    evaluation = samecar.evaluate(run, source, on=on)
    calibrated = samecar.calibrate(run, train_source, on=on)
    embeddings = samecar.embed_with(run, source, on=on, reference=True)
    return evaluation.as_dict(), calibrated.calibration.to_json(), np.asarray(embeddings.matrix).tobytes()


def test_scores_calibration_and_embeddings_are_those_of_one_process(tmp_path):
    run = tiny_run(tmp_path / "run", data=RunData("painted", "0" * 16, 6, ["a", "b", "c"])).folder
    source = paint_source(tmp_path / "scored", train=2, test=40)
    others = paint_source(tmp_path / "others", train=40, test=0)
    alone = measure(ALONE, run, source, others)
    written = {path.name: path.read_bytes() for path in (run / "evaluations").iterdir()}
    shutil.rmtree(run / "evaluations")
    for result in run_together(2, measure, tmp_path / "together", run, source, others):
        assert result == alone
    assert {path.name: path.read_bytes() for path in (run / "evaluations").iterdir()} == written
