"""`samecar score`, `samecar compare-runs` and the options of scoring."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from samecar.cli.main import app


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(12, 16))
    for name, count in (("q", 40), ("g", 200)):
        vehicles = generator.integers(12, size=count)
        np.savez(
            tmp_path / f"{name}.npz",
            embeddings=centres[vehicles] + generator.normal(size=(count, 16)),
            vehicle_id=vehicles,
            camera_id=generator.choice(["c1", "c2", "c3"], size=count),
            path=np.array([f"{place}.jpg" for place in range(count)]),
        )
    return ["--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz"]


def test_one_json_object_is_printed(files):
    result = call("score", *files, "--protocol", "veri776", "--json")
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert set(printed["cmc"]) == {"1", "5", "10", "20"}
    assert printed["queries"] + printed["skipped"] == 40
    assert 0 < printed["mINP"] < printed["mAP"] < 1
    assert printed["protocol"]["protocol"] == "veri776"
    assert set(printed["verification"]) == {"0.0001", "0.001", "0.01", "0.1"}
    exact = json.loads(call("score", *files, "--protocol", "veri776", "--json", "--float64").stdout)
    assert exact["mAP"] == pytest.approx(printed["mAP"], abs=1e-9)
    assert exact["protocol"]["precision"] == "float64"


def test_every_option_is_on_the_card(files):
    options = ["--distance", "cosine", "--junk", "none", "--cmc", "1,3", "--interpolation", "maximum"]
    options += ["--rerank", "10,3,0.4", "--query-expansion", "2", "--database-augmentation", "3"]
    printed = json.loads(call("score", *files, *options, "--json").stdout)
    card = printed["protocol"]
    assert (card["distance"], card["junk_rule"], card["interpolation"]) == ("cosine", "none", "maximum")
    assert set(printed["cmc"]) == {"1", "3"}
    for step in ("k1 10, k2 3, lambda_value 0.4", "expansion (count 2)", "augmentation (count 3)", "whole test set"):
        assert step in card["post_processing"]


def test_scores_are_printed_and_compared(files, tmp_path):
    result = call("score", *files, "-o", tmp_path / "a.json")
    assert "mAP" in result.stdout
    assert "camera pair" in result.stdout
    assert call("score", *files, "--query-expansion", "3", "-o", tmp_path / "b.json").exit_code == 0
    result = call("compare-runs", tmp_path / "a.json", tmp_path / "b.json", "--json")
    (comparison,) = json.loads(result.stdout)["comparisons"]
    assert comparison["queries"] == 40
    assert comparison["differences"]["post processing"][0] == "none"
    metrics = comparison["metrics"]["mAP"]
    assert metrics["difference"] == pytest.approx(metrics["second"] - metrics["first"])
    printed = call("compare-runs", tmp_path / "a.json", tmp_path / "a.json")
    assert "No difference is more than chance" in printed.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--protocol", "veri"], "unknown protocol 'veri'"),
        (["--junk", "all"], "unknown junk rule 'all'"),
        (["--rerank", "20,6"], "--rerank is '20,6'; give k1, k2 and lambda, such as 20,6,0.3"),
        (["--rerank", "20,6,0.3,1"], "give k1, k2 and lambda"),
        (["--rerank", "0,6,0.3"], "k1 0; give a whole number from 1"),
        (["--cmc", "one"], "--cmc is 'one'; give whole numbers, such as 1,5,10"),
        (["--interpolation", "linear"], "unknown interpolation 'linear'"),
        (["--query-expansion", "0"], "count 0; give a whole number from 1"),
        (["--out", "scores.txt"], "give a name that ends so"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(files, options, sentence):
    result = call("score", *files, *options)
    assert result.exit_code == 2
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_embeddings_that_are_not_there_are_one_sentence(files):
    result = call("score", *files[:2], "--gallery", "absent.npz")
    assert (result.exit_code, "absent.npz is not there" in result.output) == (2, True)
