import asyncio
import hashlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from galleries import SECONDS, asking, calibrate_gallery, painted, service, serving, wait_until
from PIL import Image
from starlette.testclient import TestClient

from samecar.data.manifest import Manifest
from samecar.errors import SamecarError
from samecar.retrieval.folder.writing import WriterLock
from samecar.retrieval.gallery import Gallery
from samecar.serving.app import create_app
from samecar.serving.settings import ServiceSettings
from samecar.version import __version__


@pytest.fixture(scope="module")
def client(painted_gallery):
    """Of a service that lets nobody change anything."""
    with serving(painted_gallery, read_only=True) as asking:
        yield asking


@pytest.fixture
def writer(own_gallery):
    """Of a service over a gallery of the test's own."""
    with serving(own_gallery) as asking:
        yield asking


@pytest.fixture
def query(tmp_path):
    """A picture of vehicle v02 by camera c1 that the gallery does not hold."""
    return painted(tmp_path, 2, 1, 7).read_bytes()


def search(client, file, **fields):
    return client.post("/api/search", files={"picture": ("q.png", file)}, data=fields)


def refused(answer, status, code):
    """An error of the form that every error has; gives its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"code", "message"}
    assert answer.json()["error"]["code"] == code
    sentence = answer.json()["error"]["message"]
    assert sentence
    assert "\n" not in sentence
    return sentence


def test_what_the_gallery_is(client):
    facts = client.get("/api/gallery").json()
    assert facts["name"] == "yard"
    assert (facts["pictures"], facts["vehicles"], facts["calibrated"], facts["writable"]) == (12, 6, False, False)
    assert facts["cameras"] == [
        {"camera_id": "c0", "pictures": 6, "first": "2023-11-14T22:13:20Z", "last": "2023-11-14T22:23:20Z"},
        {"camera_id": "c1", "pictures": 6, "first": "2023-11-14T22:14:20Z", "last": "2023-11-14T22:24:20Z"},
    ]
    assert (facts["first"], facts["last"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:24:20Z")
    assert facts["limits"] == {"bytes": 10_000_000, "pixels": 25_000_000, "top": 100, "views": 8}
    assert (facts["version"], facts["calibration"]) == (__version__, None)
    assert facts["index"]["kind"] == "exact"


def test_a_search_finds_what_the_gallery_itself_finds(client, painted_gallery, query):
    answer = search(client, query, top=5)
    assert answer.status_code == 200
    with Gallery.open(str(painted_gallery)) as gallery:
        (expected,) = gallery.search([Image.open(io.BytesIO(query)).convert("RGB")], 5)
    found = answer.json()["results"]
    assert [result["id"] for result in found] == [each.entry.id for each in expected.found]
    assert [result["similarity"] for result in found] == pytest.approx([each.similarity for each in expected.found])
    assert answer.json()["query"] == {"id": None, "content": hashlib.sha256(query).hexdigest()}
    assert answer.json()["verdict"] == dict.fromkeys(
        ["in_gallery", "threshold", "false_alarm_rate", "probability", "prior"]
    )
    assert 0 < answer.json()["seconds"] < 30


def test_results_and_verdict_of_a_calibrated_gallery_agree(own_gallery, query):
    calibrate_gallery(own_gallery)
    with serving(own_gallery) as client, Gallery.open(str(own_gallery)) as gallery:
        picture = Image.open(io.BytesIO(query)).convert("RGB")
        embedding = gallery.model.embed([picture])[0]
        asked = {"model": gallery.facts.model, "embedding": embedding.tolist(), "top": 5}
        for prior in (None, 0.01, 0.99):
            given = {} if prior is None else {"prior": prior}
            (expected,) = gallery.search([picture], 5, prior=prior)
            answer = search(client, query, top=5, **given).json()
            found = [(each["probability"], each["pair_probability"]) for each in answer["results"]]
            assert found == [(each.probability, each.pair_probability) for each in expected.found]
            verdict = answer["verdict"]
            assert verdict["prior"] == {
                "in_gallery": 0.5 if prior is None else prior,
                "vehicles": 6,
                "source": "labels",
                "stated": prior is not None,
            }
            assert verdict["in_gallery"] == (verdict["probability"] > 0.5) == expected.in_gallery
            assert (verdict["threshold"] is None) == (prior is not None)
            assert all(each["probability"] <= verdict["probability"] for each in answer["results"])
            assert client.post("/api/search", json=asked | given).json()["verdict"] == verdict
            like = client.get("/api/pictures/3/similar", params={"top": 5, **given}).json()["verdict"]
            assert like["probability"] == gallery.search_like(3, 5, prior=prior).probability
        assert "prior" in refused(search(client, query, prior=1), 422, "invalid")


def test_a_prior_without_a_calibration_is_refused(client, query, painted_gallery):
    sentence = "prior: the gallery is not calibrated, so that it can say no probability; leave it out"
    assert refused(search(client, query, prior=0.5), 409, "not_calibrated") == sentence
    assert refused(client.get("/api/pictures/3/similar", params={"prior": 0.5}), 409, "not_calibrated") == sentence
    with Gallery.open(str(painted_gallery)) as gallery:
        asked = {"model": gallery.facts.model, "embedding": [1.0, *[0.0] * (gallery.facts.size - 1)], "prior": 0.5}
    assert refused(client.post("/api/search", json=asked), 409, "not_calibrated") == sentence


def test_a_picture_of_the_gallery_finds_itself_and_only_the_last_part_of_its_address_is_told(client, tmp_path):
    answer = search(client, painted(tmp_path, 3, 1, 0).read_bytes(), top=1)
    (result,) = answer.json()["results"]
    assert result == {
        "id": 8,
        "similarity": pytest.approx(1, abs=1e-3),
        "probability": None,
        "pair_probability": None,
        "camera_id": "c1",
        "time": "2023-11-14T22:20:20Z",
        "track_id": "t7",
        "vehicle_id": "v03",
        "labels": {"lane": "1"},
        "name": "v03_c1_0.png",
        "thumbnail": "/api/pictures/8/thumbnail",
        "previews": None,
        "judgement": None,
    }
    assert str(tmp_path.parent.parent) not in answer.text


@pytest.fixture(scope="module")
def asked(painted_gallery, tmp_path_factory):
    """What is sent to search with the embedding of a picture of v02 by c1, which the gallery does not hold."""
    picture = painted(tmp_path_factory.mktemp("asked"), 2, 1, 7)
    with Gallery.open(str(painted_gallery)) as gallery:
        embedding = gallery.model.embed([Image.open(picture).convert("RGB")])[0]
        return {"model": gallery.facts.model, "embedding": embedding.tolist(), "top": 5}


def test_an_embedding_finds_what_its_picture_finds(client, query, asked):
    filters = {"not_camera": ["c0"], "after": "2023-11-14T22:16:00Z"}
    expected = search(client, query, top=5, **filters).json()
    answer = client.post("/api/search", json={**asked, **filters})
    assert answer.status_code == 200
    found = answer.json()
    assert found["query"] == {"id": None, "content": None}
    assert [result.pop("similarity") for result in found["results"]] == pytest.approx(
        [result.pop("similarity") for result in expected["results"]], abs=1e-4
    )
    assert found["results"] == expected["results"]
    assert len(found["results"]) == 5
    assert found["verdict"] == expected["verdict"]


def test_judgements_on_an_embedding_are_told_where_its_pictures_content_is(writer, query, asked):
    judged = {"entry": 6, "same": True}
    assert writer.put("/api/judgements", files={"query": ("q.png", query)}, data=judged).status_code == 200
    content = hashlib.sha256(query).hexdigest()
    for told, known in ({"content": content}, True), ({}, None):
        found = writer.post("/api/search", json={**asked, "top": 12, **told}).json()
        assert found["query"]["content"] == told.get("content")
        assert {result["id"]: result["judgement"] for result in found["results"]}[6] is known


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({"model": "0123456789abcdef"}, "other_model", "model: the embeddings are of model 0123456789abcdef, the gal"),
        ({"model": "resnet18"}, "invalid", "model: string should match pattern"),
        ({"embedding": [0.6, 0.8]}, "invalid", "embedding: a query has 2 numbers, the gallery's have "),
        ({"embedding": []}, "invalid", "embedding: list should have at least 1 item"),
        ({"embedding": ["a"]}, "invalid", "embedding.0: input should be a valid number"),
        ({"embedding": None}, "invalid", "embedding: input should be a valid list"),
        ({"top": 101}, "invalid", "top: 101 are asked for; at most 100 are given at a time"),
        ({"after": "noon"}, "invalid", "after: "),
        ({"picture": "car.jpg"}, "invalid", "picture: extra inputs are not permitted"),
        ({"content": "abc"}, "invalid", "content: string should match pattern"),
    ],
)
def test_an_embedding_that_is_none_of_this_gallery_is_refused(client, asked, changes, code, sentence):
    assert refused(client.post("/api/search", json={**asked, **changes}), 422, code).startswith(sentence)


@pytest.mark.parametrize(
    ("factor", "sentence"),
    [(1.01, "has length 1.01; divide it by its length"), (0, "length 0;"), (1e200, "length inf")],
)
def test_an_embedding_is_of_length_one(client, asked, factor, sentence):
    embedding = [factor * number for number in asked["embedding"]]
    assert sentence in refused(client.post("/api/search", json={**asked, "embedding": embedding}), 422, "invalid")
    nearly = [1.0005 * number for number in asked["embedding"]]
    assert client.post("/api/search", json={**asked, "embedding": nearly}).status_code == 200


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_an_embedding_is_of_finite_numbers(client, asked, number):
    body = f'{{"model": "{asked["model"]}", "embedding": [0.5, {number}]}}'
    answer = client.post("/api/search", content=body, headers={"Content-Type": "Application/JSON; charset=utf-8"})
    assert refused(answer, 422, "invalid") == "embedding.1: input should be a finite number"


def test_an_embedding_that_is_too_large_or_is_no_json_is_refused(client, asked):
    long = client.post("/api/search", json={**asked, "embedding": [0.123456789] * 60_000})
    assert "larger than the 500,000 bytes allowed" in refused(long, 413, "too_large")
    broken = client.post("/api/search", content="{", headers={"Content-Type": "application/json"})
    assert "JSON decode error" in refused(broken, 422, "invalid").replace("jSON", "JSON")
    assert "picture" in refused(client.post("/api/search", content="{}"), 422, "invalid")


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"camera": "c1"}, {2, 4, 6, 8, 10, 12}),
        ({"not_camera": ["c1", "c7"]}, {1, 3, 5, 7, 9, 11}),
        ({"camera": ["c0", "c1"], "after": "2023-11-14T22:22:20Z"}, {10, 11, 12}),
        ({"before": "2023-11-14T23:14:20+01:00"}, {1}),
        ({"after": str(SECONDS + 60), "before": str(SECONDS + 180)}, {2, 3}),
        ({"camera": "elsewhere"}, set()),
    ],
)
def test_filters(client, query, fields, ids):
    assert {result["id"] for result in search(client, query, **fields).json()["results"]} == ids
    similar = client.get("/api/pictures/3/similar", params=fields).json()["results"]
    assert {result["id"] for result in similar} == ids - {3}
    listed = client.get("/api/pictures", params=fields).json()
    assert {picture["id"] for picture in listed["pictures"]} == ids


def test_a_crop_is_searched_as_the_picture_that_it_shows(client, query):
    picture = Image.open(io.BytesIO(query)).convert("RGB")
    part = io.BytesIO()
    picture.crop((10, 0, 30, 20)).save(part, "PNG")
    cropped, alone = search(client, query, crop="0.25,0,0.5,0.5").json(), search(client, part.getvalue()).json()
    similarities = [[result["similarity"] for result in answer["results"]] for answer in (cropped, alone)]
    np.testing.assert_allclose(*similarities, atol=1e-3)
    assert cropped["query"]["content"] not in {hashlib.sha256(query).hexdigest(), alone["query"]["content"]}
    again = search(client, query, crop="0.2500001,0,0.5,0.5").json()
    assert again["query"] == cropped["query"]


@pytest.mark.parametrize(
    "crop", ["", "0,0,1", "0,0,1,1,1", "a,0,1,1", "nan,0,1,1", "-0.1,0,1,1", "0.5,0,0.6,1", "0,0,0,1", "0,0,1,inf"]
)
def test_a_crop_that_is_none(client, query, crop):
    answer = search(client, query, crop=crop)
    if crop:
        assert "crop" in refused(answer, 422, "invalid")
    else:
        assert answer.status_code == 200


def test_from_a_stored_picture_on(client):
    answer = client.get("/api/pictures/5/similar", params={"top": 20}).json()
    assert answer["query"]["id"] == 5
    assert len(answer["query"]["content"]) == 64
    similarities = [result["similarity"] for result in answer["results"]]
    assert len(similarities) == 11
    assert similarities == sorted(similarities, reverse=True)


def test_entries_are_listed_page_by_page(client):
    seen, beyond = [], 0
    while beyond is not None:
        page = client.get("/api/pictures", params={"beyond": beyond, "limit": 5}).json()
        seen += [picture["id"] for picture in page["pictures"]]
        beyond = page["next"]
    assert seen == list(range(1, 13))
    assert client.get("/api/pictures", params={"limit": 12}).json()["next"] is None


def test_a_thumbnail(client):
    answer = client.get("/api/pictures/4/thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (40, 40)


def test_adding_describing_changing_and_removing(writer, query):
    fields = {"camera_id": "gate", "time": "2024-05-01T12:00:00+02:00", "vehicle_id": "van", "labels": '{"lane": "3"}'}
    picture = {"picture": ("C:\\secret\\van.png", query)}
    added = writer.post("/api/pictures", files=picture, data=fields)
    assert (added.status_code, added.json()) == (201, {"id": 13, "added": True})
    again = writer.post("/api/pictures", files=picture, data={"camera_id": "other"})
    assert (again.status_code, again.json()) == (200, {"id": 13, "added": False})
    described = {
        "id": 13,
        "camera_id": "gate",
        "time": "2024-05-01T10:00:00Z",
        "track_id": "",
        "vehicle_id": "van",
        "labels": {"lane": "3"},
        "name": "van.png",
        "thumbnail": "/api/pictures/13/thumbnail",
        "previews": None,
    }
    assert writer.get("/api/pictures/13").json() == described
    assert search(writer, query, top=1).json()["results"][0]["id"] == 13
    assert writer.get("/api/gallery").json()["pictures"] == 13

    change = {"track_id": "t9", "labels": {"note": "white"}, "time": ""}
    changed = writer.patch("/api/pictures/13", json=change)
    assert changed.json() == {**described, "track_id": "t9", "labels": {"note": "white"}, "time": None}
    assert writer.get("/api/pictures/13").json() == changed.json()
    assert writer.patch("/api/pictures/13", json={}).json() == changed.json()

    assert writer.delete("/api/pictures/13").status_code == 204
    for answer in (
        writer.get("/api/pictures/13"),
        writer.delete("/api/pictures/13"),
        writer.patch("/api/pictures/13", json={"track_id": "x"}),
        writer.get("/api/pictures/13/thumbnail"),
        writer.get("/api/pictures/13/similar"),
    ):
        refused(answer, 404, "not_found")
    assert writer.get("/api/gallery").json()["pictures"] == 12


def test_two_services_that_change_an_entry_undo_nothing_of_each_other(own_gallery):
    with serving(own_gallery) as first, serving(own_gallery) as second, ThreadPoolExecutor(2) as threads:
        for turn in range(5):
            changes = [(first, {"track_id": f"t{turn}"}), (second, {"vehicle_id": f"v{turn}"})]
            answers = list(threads.map(lambda pair: pair[0].patch("/api/pictures/1", json=pair[1]), changes))
            assert [answer.status_code for answer in answers] == [200, 200]
            known = first.get("/api/pictures/1").json()
            assert (known["track_id"], known["vehicle_id"], known["camera_id"]) == (f"t{turn}", f"v{turn}", "c0")


def test_a_change_takes_in_what_others_have_changed_until_it_is_written(own_gallery):
    with serving(own_gallery) as client, Gallery.open(str(own_gallery)) as other:
        engine = client.app.state.service.gallery.engine
        update = engine.update

        def late(number, change):
            if number == 1:
                other.engine.update(1, lambda sighting: replace(sighting, vehicle_id="van"))
            else:
                other.engine.remove([number])
            return update(number, change)

        engine.update = late
        changed = client.patch("/api/pictures/1", json={"track_id": "t9"}).json()
        assert (changed["track_id"], changed["vehicle_id"]) == ("t9", "van")
        refused(client.patch("/api/pictures/2", json={"track_id": "t9"}), 404, "not_found")


def test_what_is_added_over_http_has_the_embedding_that_every_other_way_gives(writer, own_gallery, query, tmp_path):
    number = writer.post("/api/pictures", files={"picture": ("q.png", query)}).json()["id"]
    with Gallery.open(str(own_gallery)) as gallery:
        expected = gallery.model.embed([Image.open(io.BytesIO(query)).convert("RGB")])
        np.testing.assert_allclose(gallery.engine.embeddings([number]), expected, atol=2e-3)


def test_judgements(writer, query, tmp_path):
    stored = painted(tmp_path, 0, 0, 0).read_bytes()
    content = hashlib.sha256(query).hexdigest()
    sent = {"query": ("q.png", query)}
    said = writer.put("/api/judgements", files=sent, data={"entry": 6, "same": "true"})
    assert said.json() == {"query": content, "entry": 6, "same": True, "former": None}
    writer.put("/api/judgements", files=sent, data={"entry": 4, "same": "true"})
    writer.put("/api/judgements", files=sent, data={"entry": 4, "same": "false"})
    from_entry = writer.put("/api/judgements", data={"query_id": 1, "entry": 2, "same": "true"}).json()
    assert from_entry["query"] == hashlib.sha256(stored).hexdigest()

    marked = {result["id"]: result["judgement"] for result in search(writer, query).json()["results"]}
    assert marked == {**dict.fromkeys(range(1, 13)), 6: True, 4: False}
    similar = writer.get("/api/pictures/1/similar").json()["results"]
    assert [result["id"] for result in similar if result["judgement"]] == [2]
    assert search(writer, stored).json()["results"][0]["id"] == 1
    listed = writer.get("/api/judgements").json()["judgements"]
    assert {(each["query"], each["entry"], each["same"]) for each in listed} == {
        (content, 6, True),
        (content, 4, False),
        (from_entry["query"], 2, True),
    }

    manifest = writer.get("/api/judgements/manifest")
    assert manifest.headers["content-type"].startswith("text/csv")
    (tmp_path / "judgements.csv").write_bytes(manifest.content)
    table = Manifest.read(tmp_path / "judgements.csv")
    rows = dict(zip(table.path, zip(table.vehicle_id, table.split, strict=True), strict=True))
    assert rows == {
        f"{content}.jpg": ("v02", "train"),
        "v02_c1_0.png": ("v02", "train"),
        "v01_c1_0.png": ("v01", "train"),
        "v00_c0_0.png": ("v00", "train"),
        "v00_c1_0.png": ("v00", "train"),
    }

    pair = {"query": content, "entry": 6}
    assert writer.delete("/api/judgements", params=pair).status_code == 204
    refused(writer.delete("/api/judgements", params=pair), 404, "not_found")
    assert len(writer.get("/api/judgements").json()["judgements"]) == 2


def test_a_judged_crop_is_the_query_that_was_searched(writer, query):
    crop = "0.1,0.1,0.5,0.5"
    searched = search(writer, query, crop=crop).json()["query"]["content"]
    fields = {"entry": 3, "same": "false", "crop": crop}
    said = writer.put("/api/judgements", files={"query": ("q.png", query)}, data=fields).json()
    assert said["query"] == searched
    results = search(writer, query, crop=crop).json()["results"]
    assert [result["judgement"] for result in results if result["id"] == 3] == [False]


def test_judgements_that_cannot_be(writer, query):
    sent = {"query": ("q.png", query)}
    refused(writer.put("/api/judgements", data={"entry": 1, "same": "true"}), 422, "invalid")
    refused(writer.put("/api/judgements", files=sent, data={"entry": 1, "same": "true", "query_id": 2}), 422, "invalid")
    refused(writer.put("/api/judgements", files=sent, data={"entry": 99, "same": "true"}), 404, "not_found")
    refused(writer.put("/api/judgements", data={"query_id": 99, "entry": 1, "same": "true"}), 404, "not_found")
    refused(writer.put("/api/judgements", files=sent, data={"entry": 1, "same": "perhaps"}), 422, "invalid")
    refused(writer.get("/api/judgements/manifest"), 404, "not_found")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"time": "yesterday"}, "time"),
        ({"labels": "{"}, "labels"),
        ({"labels": '["a"]'}, "labels"),
        ({"labels": '{"a": 1}'}, "labels"),
        ({"camera_id": "x" * 257}, "camera_id"),
        ({"camera_id": "a\nb"}, "camera_id"),
        ({"camera": "c1"}, "camera"),
    ],
)
def test_additions_that_cannot_be(writer, query, fields, named):
    answer = writer.post("/api/pictures", files={"picture": ("q.png", query)}, data=fields)
    assert named in refused(answer, 422, "invalid")


@pytest.mark.parametrize("file", [b"no picture", b"\x89PNG\r\n\x1a\n", b""])
def test_files_that_are_no_pictures(writer, file):
    refused(writer.post("/api/search", files={"picture": ("q.png", file)}), 422, "unreadable_picture")
    refused(writer.post("/api/pictures", files={"picture": ("q.png", file)}), 422, "unreadable_picture")


def test_a_truncated_picture(writer, query):
    file = query[: len(query) // 2]
    refused(writer.post("/api/search", files={"picture": ("q.png", file)}), 422, "unreadable_picture")
    refused(writer.post("/api/pictures", files={"picture": ("q.png", file)}), 422, "unreadable_picture")
    assert writer.get("/api/gallery").json()["pictures"] == 12


def test_errors_of_every_kind_are_json(client, query):
    refused(client.get("/nothing"), 404, "not_found")
    refused(client.get("/api/nothing"), 404, "not_found")
    refused(client.post("/api/gallery"), 405, "method_not_allowed")
    assert "top" in refused(search(client, query, top="many"), 422, "invalid")
    refused(search(client, query, top=0), 422, "invalid")
    refused(search(client, query, top=101), 422, "invalid")
    refused(search(client, query, tpo=5), 422, "invalid")
    refused(search(client, query, after="never"), 422, "invalid")
    refused(client.post("/api/search"), 422, "invalid")
    refused(client.post("/api/search", data={"picture": "text"}), 422, "invalid")
    refused(client.get("/api/pictures/0"), 422, "invalid")
    refused(client.get(f"/api/pictures/{2**64}"), 422, "invalid")
    refused(client.get("/api/pictures", params={"limit": 101}), 422, "invalid")
    boundless = {"Content-Type": "multipart/form-data"}
    refused(client.post("/api/search", content=b"x", headers=boundless), 400, "bad_request")


def test_a_fault_within_says_nothing_about_itself(own_gallery, query):
    with serving(own_gallery) as client:
        gallery = client.app.state.service.gallery
        gallery.search_embeddings = None
        sentence = refused(search(client, query), 500, "internal")
        assert "NoneType" not in sentence
        assert search(client, query).headers["x-content-type-options"] == "nosniff"


@pytest.mark.slow  # a writer is patient
def test_another_writer_is_waited_for_and_then_told_of(own_gallery, query):
    picture = {"picture": ("q.png", query)}
    with serving(own_gallery) as client:
        with WriterLock(own_gallery / "writer.lock").held():
            answer = client.post("/api/pictures", files=picture)
            refused(answer, 503, "gallery_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert client.get("/api/pictures/1").status_code == 200
        assert client.post("/api/pictures", files=picture).status_code == 201


def test_read_only(client, query):
    picture = {"picture": ("q.png", query)}
    for answer in (
        client.post("/api/pictures", files=picture),
        client.patch("/api/pictures/1", json={"track_id": "x"}),
        client.delete("/api/pictures/1"),
        client.put("/api/judgements", data={"query_id": 1, "entry": 2, "same": "true"}),
        client.delete("/api/judgements", params={"query": "0" * 64, "entry": 1}),
    ):
        refused(answer, 403, "read_only")


def test_until_the_model_is_loaded(painted_gallery, query, monkeypatch):
    go_on = threading.Event()
    gallery = Gallery.open(str(painted_gallery))
    first_search = gallery.search
    monkeypatch.setattr(gallery, "search", lambda *args: go_on.wait(20) and first_search(*args))

    with TestClient(create_app(gallery, ServiceSettings(host_names=("testserver",)))) as client:
        assert client.get("/health").json() == {"status": "alive"}
        for answer in (client.get("/ready"), client.get("/api/gallery"), search(client, query)):
            assert "still being loaded" in refused(answer, 503, "not_ready")
            assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/metrics").status_code == 200
        go_on.set()
        wait_until(lambda: client.get("/ready").status_code == 200)
        assert search(client, query).status_code == 200


def test_a_fault_while_loading_is_in_the_log(painted_gallery, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("secret")

    gallery = Gallery.open(str(painted_gallery))
    monkeypatch.setattr(gallery, "search", fail)
    with TestClient(create_app(gallery)) as client:
        wait_until(lambda: "cannot be opened" in refused(client.get("/ready"), 503, "not_ready"))
        assert "secret" not in client.get("/ready").text
    assert "RuntimeError: secret" in caplog.text


def test_a_gallery_without_its_model(own_gallery, caplog):
    (own_gallery / "model" / "model.safetensors").unlink()
    with TestClient(service(own_gallery)) as client:
        wait_until(lambda: "cannot be opened" in refused(client.get("/ready"), 503, "not_ready"))
        assert str(own_gallery) not in client.get("/api/gallery").text
        assert client.get("/health").status_code == 200
    assert "the model lacks model.safetensors" in caplog.text


def test_the_app_closes_its_gallery(painted_gallery, monkeypatch):
    """Also where its model could not be loaded."""
    for fault in (None, RuntimeError("no model")):
        gallery, closed = Gallery.open(str(painted_gallery)), []
        close, first_search = gallery.close, gallery.search

        def search_or_fail(*args, fault=fault, first_search=first_search):
            if fault:
                raise fault
            return first_search(*args)

        monkeypatch.setattr(gallery, "search", search_or_fail)
        monkeypatch.setattr(gallery, "close", lambda close=close, closed=closed: closed.append(close()))
        app = create_app(gallery)
        with TestClient(app):
            wait_until(app.state.service.loaded.done)
            assert closed == []
        assert closed == [None]
        assert app.state.service.loaded.exception() is fault


def test_metrics(painted_gallery, query):
    with serving(painted_gallery) as client:
        search(client, query)
        search(client, b"none")
        client.get("/api/pictures/3")
        client.get("/somewhere/else")
        text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['samecar_requests_total{method="POST",route="/api/search",status="200"}'] == "1.0"
    assert lines['samecar_requests_total{method="POST",route="/api/search",status="422"}'] == "1.0"
    assert lines['samecar_requests_total{method="GET",route="/api/pictures/{number}",status="200"}'] == "1.0"
    assert lines['samecar_requests_total{method="any",route="none",status="404"}'] == "1.0"
    assert lines["samecar_gallery_pictures"] == "12.0"
    assert lines["samecar_queue_pictures"] == "0.0"
    assert lines["samecar_batch_pictures_count"] == "1.0"
    assert float(lines["samecar_embedding_seconds_total"]) > 0
    assert float(lines['samecar_request_seconds_sum{route="/api/search"}']) > 0
    assert "somewhere" not in text


def test_metrics_are_told_while_the_gallery_cannot_be_asked(painted_gallery, monkeypatch):
    with serving(painted_gallery) as client:
        engine = client.app.state.service.gallery.engine
        monkeypatch.setattr(client.app.state.service.counting, "_counted", None)
        monkeypatch.setattr(engine, "summary", refuse_to_answer)
        assert client.get("/ready").status_code == 503
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert "samecar_gallery_pictures NaN" in answer.text


def refuse_to_answer():
    raise SamecarError("the server is gone")


def test_words_that_are_no_methods_are_counted_together(painted_gallery):
    with serving(painted_gallery) as client:
        for word in ("FOO1", "FOO2"):
            assert client.request(word, "/health").status_code == 405
        text = client.get("/metrics").text
    assert "FOO" not in text
    assert 'samecar_requests_total{method="any",route="/health",status="405"} 2.0' in text


def slow_summary(served, begun, go_on):
    """Lets a service's counts begin, and end not before they are let; gives how many there were."""
    counts, summary = [], served.gallery.engine.summary

    def slow():
        counts.append(1)
        found = summary()
        begun.set()
        assert go_on.wait(20)
        return found

    served.gallery.engine.summary = slow
    return counts


async def until(event):
    await asyncio.to_thread(event.wait, 20)


def test_all_who_ask_how_much_there_is_share_one_count(painted_gallery, monkeypatch):
    app = service(painted_gallery)
    begun, go_on = threading.Event(), threading.Event()

    async def main():
        async with asking(app) as client:
            counts = slow_summary(app.state.service, begun, go_on)
            monkeypatch.setattr("samecar.serving.counting.SUMMARY_SECONDS", 0)  # what was counted before is too old
            asked = [asyncio.create_task(client.get(path)) for path in ("/ready", "/api/gallery", "/metrics") * 20]
            await until(begun)
            monkeypatch.setattr("samecar.serving.counting.SUMMARY_SECONDS", 60)
            others = await client.get("/api/pictures/3")
            asked += [asyncio.create_task(client.get("/ready")) for _ in range(20)]
            await asyncio.sleep(0.1)
            go_on.set()
            answers = await asyncio.gather(*asked)
            later = await client.get("/ready")  # which takes what was just counted
            return counts, {answer.status_code for answer in (others, *answers, later)}

    assert asyncio.run(main()) == ([1], {200})


def test_a_count_that_began_before_a_change_is_not_given_after_it(own_gallery, query, monkeypatch):
    app = service(own_gallery)
    begun, go_on = threading.Event(), threading.Event()

    async def main():
        async with asking(app) as client:
            counts = slow_summary(app.state.service, begun, go_on)
            monkeypatch.setattr("samecar.serving.counting.SUMMARY_SECONDS", 0)
            before = asyncio.create_task(client.get("/api/gallery"))
            await until(begun)
            monkeypatch.setattr("samecar.serving.counting.SUMMARY_SECONDS", 60)
            added = await client.post("/api/pictures", files={"picture": ("q.png", query)})
            after = [asyncio.create_task(client.get("/api/gallery")) for _ in range(20)]
            await asyncio.sleep(0.1)
            go_on.set()
            return counts, added.status_code, [(await each).json()["pictures"] for each in (before, *after)]

    assert asyncio.run(main()) == ([1, 1], 201, [12] + [13] * 20)


def test_a_count_that_fails_fails_for_all_who_wait_and_the_next_one_counts_again(painted_gallery, monkeypatch):
    app = service(painted_gallery)
    monkeypatch.setattr("samecar.serving.counting.SUMMARY_SECONDS", 0)
    counts = []

    def failing():
        counts.append(1)
        raise SamecarError("the server is gone")

    async def main():
        async with asking(app) as client:
            engine = app.state.service.gallery.engine
            summary, engine.summary = engine.summary, failing
            answers = await asyncio.gather(*(client.get("/ready") for _ in range(20)))
            engine.summary = summary
            return [answer.status_code for answer in answers], (await client.get("/ready")).status_code

    statuses, again = asyncio.run(main())
    assert (set(statuses), again) == ({503}, 200)
    assert len(counts) < 5


def test_two_services_in_one_process_count_for_themselves(painted_gallery):
    with serving(painted_gallery) as first, serving(painted_gallery) as second:
        first.get("/api/pictures/3")
        assert "/api/pictures/{number}" in first.get("/metrics").text
        assert "/api/pictures/{number}" not in second.get("/metrics").text


def test_the_page_and_its_files(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/page/page.css").headers["content-type"].startswith("text/css")
    assert client.get("/page/page.js").headers["content-type"].startswith("text/javascript")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    refused(client.get("/page/index.html"), 404, "not_found")


def test_a_file_name_is_kept_only_as_far_as_it_is_one(writer, query):
    named = {"picture": ("a/b\\\u202ec\x7f" + "x" * 400 + ".png", query)}
    number = writer.post("/api/pictures", files=named).json()["id"]
    assert writer.get(f"/api/pictures/{number}").json()["name"] == "c" + "x" * 255


def test_the_description_tells_of_the_token(painted_gallery):
    asked = service(painted_gallery, token="a-token-of-sufficient-length").openapi()
    assert asked["paths"]["/api/search"]["post"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in asked["paths"]["/health"]["get"]
    assert "security" not in service(painted_gallery).openapi()["paths"]["/api/search"]["post"]


def test_the_description_is_whole_and_loads_nothing(client):
    description = client.get("/openapi.json").json()
    refused(client.get("/docs"), 404, "not_found")
    refused(client.get("/redoc"), 404, "not_found")
    assert description["paths"].keys() == {
        "/api/gallery",
        "/api/labels",
        "/api/search",
        "/api/pictures",
        "/api/pictures/{number}",
        "/api/pictures/{number}/similar",
        "/api/pictures/{number}/thumbnail",
        "/api/pictures/{number}/previews",
        "/api/pictures/{number}/previews/{place}",
        "/api/pictures/{number}/original",
        "/api/pictures/{number}/journey",
        "/api/judgements",
        "/api/judgements/manifest",
        "/health",
        "/ready",
        "/metrics",
    }
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (path, method)
            for status, response in operation["responses"].items():
                if status >= "400":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorReply"}, (path, method, status)


def test_many_clients_at_once_each_get_the_own_answer(painted_gallery, tmp_path):
    files = [painted(tmp_path, vehicle, camera, 0).read_bytes() for vehicle in range(6) for camera in range(2)] * 4
    app = service(painted_gallery)

    async def main():
        async with asking(app) as client:
            asked = [client.post("/api/search", files={"picture": ("q", file)}, data={"top": 1}) for file in files]
            answers = await asyncio.gather(*asked)
            return [answer.json()["results"][0]["id"] for answer in answers], (await client.get("/metrics")).text

    ids, metrics = asyncio.run(main())
    assert ids == list(range(1, 13)) * 4
    batches = next(line for line in metrics.splitlines() if line.startswith("samecar_batch_pictures_count"))
    assert float(batches.split()[1]) < len(files) / 2
