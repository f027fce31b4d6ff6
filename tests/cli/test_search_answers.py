"""What `samecar search` says of a calibrated gallery: headline, list, JSON and drawing are of one mind."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import done, refused
from galleries import calibrate_gallery, copy_gallery, painted
from PIL import Image

from samecar.retrieval.gallery import Gallery


@pytest.fixture(scope="module")
def calibrated(painted_gallery, tmp_path_factory):
    gallery = copy_gallery(painted_gallery, tmp_path_factory.mktemp("calibrated"))
    calibrate_gallery(gallery)
    return gallery


def asked(*arguments):
    return json.loads(done("search", *arguments, "--json", "--device", "cpu"))


def percent(text):
    """A printed probability as a number."""
    return float(text.strip("<> %")) / 100


def test_what_is_printed_is_what_a_program_is_told(calibrated, tmp_path):
    query = painted(tmp_path, 1, 1, 7)
    for more in ([], ["--prior", "0.01"], ["--prior", "0.99"]):
        told = asked(calibrated, query, "--top", 4, *more)
        said = done("search", calibrated, query, "--top", 4, "--device", "cpu", *more)
        verdict = told["verdict"]
        headline, sure = re.search(r"^(.+) \((\S+ %) that it is there\)", said, re.MULTILINE).groups()
        assert headline == (
            "The vehicle is probably in the gallery" if verdict["in_gallery"] else "No sure match in the gallery"
        )
        assert percent(sure) == pytest.approx(verdict["probability"], abs=1e-3)
        rows = re.findall(r"^ *(\d) +(\S+) +(\S+ %)", said, re.MULTILINE)
        assert [percent(same) for _, _, same in rows] == pytest.approx(
            [result["probability"] for result in told["results"]], abs=1e-3
        )
        assert all(result["probability"] <= verdict["probability"] for result in told["results"])
        assert verdict["in_gallery"] == (verdict["probability"] > 0.5)
        before = f"{100 * verdict['prior']['in_gallery']:.1f} %{', as stated,' if more else ''}"
        assert f"Before looking it was {before} that the gallery has the vehicle" in said
        assert "each of 6 vehicles there (by labels)" in said
        assert ("the threshold" in said) == (verdict["threshold"] is not None) == (not more)


def test_of_a_picture_that_is_in_the_gallery_itself_it_is_said(calibrated, tmp_path):
    sentence = "A likeness of 1.000 is nearly always the very same picture; 'same' cannot know that."
    with Gallery.open(str(calibrated), device="cpu") as gallery:
        stored = Path(gallery.engine.entries([3])[3].sighting.address)
    strange = tmp_path / "strange.png"
    Image.effect_noise((40, 40), 99).save(strange)
    best = [asked(calibrated, query)["results"][0]["similarity"] for query in (stored, strange)]
    assert best[0] > 0.9995 > best[1]
    said = [done("search", calibrated, query, "--device", "cpu").splitlines() for query in (stored, strange)]
    assert [sentence in lines for lines in said] == [True, False]


def test_the_probability_of_a_pair_alone_is_that_of_compare(calibrated, tmp_path):
    query, other = painted(tmp_path, 1, 1, 7), painted(tmp_path, 4, 0, 0)
    found = {result["vehicle_id"] + result["camera_id"]: result for result in asked(calibrated, query)["results"]}
    alone = json.loads(done("compare", query, other, "--gallery", calibrated, "--json", "--device", "cpu"))
    assert found["v04c0"]["pair_probability"] == pytest.approx(alone["probability"], abs=1e-3)


def test_a_drawing_says_it_too(calibrated, painted_gallery, tmp_path, monkeypatch):
    drawn = []
    from samecar.report import sheets

    figure = sheets.found_figure
    monkeypatch.setattr(sheets, "found_figure", lambda *given: drawn.append(given) or figure(*given))
    done("search", calibrated, "id:3", "--top", 3, "--save", tmp_path / "found.png", "--device", "cpu")
    done("search", painted_gallery, "id:3", "--top", 3, "--save", tmp_path / "plain.png", "--device", "cpu")
    with Gallery.open(str(calibrated), device="cpu") as gallery:
        answer = gallery.search_like(3, 3)
    (_, pictures, headline), (_, plain, nothing) = drawn
    assert headline.startswith("The vehicle is prob" if answer.in_gallery else "No sure match in the gallery (")
    said = [percent(picture.heading.partition(" · ")[2]) for picture in pictures]
    assert said == pytest.approx([found.probability for found in answer.found], abs=1e-3)
    assert nothing == ""
    done("search", calibrated, "id:3", "--camera", "c9", "--save", tmp_path / "none.png", "--device", "cpu")
    assert drawn[-1][1:] == ([], "No picture fits")
    assert not any("%" in picture.heading for picture in plain)
    high, low = (np.asarray(Image.open(tmp_path / name)).shape[0] for name in ("found.png", "plain.png"))
    assert high > low


def test_several_answers_share_the_note_of_the_prior(calibrated):
    said = done("search", calibrated, "id:1", "id:2", "--top", 2, "--device", "cpu")
    assert said.count("Before looking it was 50.0 %") == 1
    assert said.count("that it is there)") == 2


def test_a_prior_that_cannot_be_used_is_one_sentence(calibrated, painted_gallery):
    assert refused("search", painted_gallery, "id:1", "--prior", "0.3") == (
        "--prior is 0.3, and the gallery is not calibrated, so that it can say no probability; leave it out, or "
        "calibrate the gallery with `samecar gallery calibrate`"
    )
    sentence = "give a probability above 0 and below 1 that the gallery has the vehicle"
    for prior in ("0", "1", "-0.5", "nan"):
        assert sentence in refused("search", calibrated, "id:1", "--prior", prior)
