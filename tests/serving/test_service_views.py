"""Several pictures in one request: views of one vehicle, which are searched with and judged together."""

import hashlib
import io

import numpy as np
import pytest
from command_line import done, run
from galleries import painted, serving
from PIL import Image

from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import Judgement, Sighting


@pytest.fixture
def writer(own_gallery):
    """Of a service over a gallery of the test's own."""
    with serving(own_gallery) as asking:
        yield asking


@pytest.fixture
def views(tmp_path):
    """Three pictures that the gallery does not hold."""
    return [painted(tmp_path, vehicle, 1, 7).read_bytes() for vehicle in (2, 3, 4)]


def several(name, files):
    return [(name, (f"{number}.png", file)) for number, file in enumerate(files)]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def joined(files):
    """The content of several views as it is documented of a track: of their digests, whose order does not matter."""
    return digest("\n".join(sorted(hashlib.sha256(file).hexdigest() for file in files)))


def mean_ranking(gallery, pictures):
    """Numbers and cosines by the mean of the pictures' embeddings, worked out one by one."""
    with Gallery.open(str(gallery)) as opened:
        matrix = np.array([opened.model.embed([picture])[0] for picture in pictures])
        mean = matrix.mean(axis=0) / np.linalg.norm(matrix.mean(axis=0))
        numbers = [entry.id for entry in opened.engine.listed()]
        cosines = opened.engine.embeddings(numbers) @ mean
    order = np.argsort(-cosines)
    return [numbers[place] for place in order], cosines[order]


def opened(file):
    return Image.open(io.BytesIO(file)).convert("RGB")


def test_several_views_get_one_answer_by_the_mean_of_their_embeddings(writer, own_gallery, views):
    found = writer.post("/api/search", files=several("picture", views), data={"top": 12})
    assert found.status_code == 200, found.text
    numbers, cosines = mean_ranking(own_gallery, [opened(view) for view in views])
    assert [result["id"] for result in found.json()["results"]] == numbers
    np.testing.assert_allclose([result["similarity"] for result in found.json()["results"]], cosines, atol=1e-3)
    assert found.json()["query"] == {"id": None, "content": joined(views)}
    turned = writer.post("/api/search", files=several("picture", views[::-1])).json()
    assert turned["query"] == found.json()["query"]


def test_each_view_may_have_a_crop_of_its_own(writer, own_gallery, views):
    data = {"crop": ["0,0,0.5,1", "", "0.25,0.5,0.75,0.5"], "top": 12}
    found = writer.post("/api/search", files=several("picture", views), data=data).json()
    parts = [opened(view) for view in views]
    cut = [parts[0].crop((0, 0, 20, 40)), parts[1], parts[2].crop((10, 20, 40, 40))]
    numbers, cosines = mean_ranking(own_gallery, cut)
    np.testing.assert_allclose([result["similarity"] for result in found["results"]], cosines, atol=1e-3)
    assert [result["id"] for result in found["results"]] == numbers
    assert found["query"]["content"] != joined(views)


def test_one_view_is_searched_as_ever(writer, views):
    content = hashlib.sha256(views[0]).hexdigest()
    for crop in ({}, {"crop": ""}):
        found = writer.post("/api/search", files=several("picture", views[:1]), data=crop).json()
        assert found["query"]["content"] == content


def test_what_is_said_of_views_is_told_when_they_are_searched_again(writer, own_gallery, views):
    crops = {"crop": ["0,0,0.5,1", "", ""]}
    judged = {"entry": 6, "same": "true", **crops}
    said = writer.put("/api/judgements", files=several("query", views), data=judged)
    assert (said.status_code, said.json()["former"]) == (200, None)
    found = writer.post("/api/search", files=several("picture", views), data=crops).json()
    assert found["query"]["content"] == said.json()["query"]
    assert {result["id"]: result["judgement"] for result in found["results"]}[6] is True
    whole = writer.post("/api/search", files=several("picture", views)).json()
    assert not any(result["judgement"] for result in whole["results"])
    with Gallery.open(str(own_gallery)) as gallery:
        [kept] = gallery.engine.judgements(pictures=True)
    assert Image.open(io.BytesIO(kept.query_picture)).size == (20, 40)  # the first view, as it was cropped


def test_views_that_cannot_be(writer, views):
    def refusal(files, status=422, **fields):
        answer = writer.post("/api/search", files=several("picture", files), data=fields)
        assert answer.status_code == status, answer.text
        return answer.json()["error"]["message"]

    assert "at most 8 are taken" in refusal(views * 3)
    assert "one for each of 3 pictures" in refusal(views, crop=["0,0,1,1", "0,0,1,1"])
    assert "crop" in refusal(views[:1], crop=["0,0,1,1", "0,0,1,1"])
    assert "cannot be read" in refusal([views[0], b"no picture"])
    refusal([b"x"] * 101, 400)
    assert writer.post("/api/search", data={"top": 3}).status_code == 422
    assert writer.get("/api/gallery").json()["limits"]["views"] == 8
    assert writer.put("/api/judgements", files=several("query", views * 3), data={"entry": 1, "same": "true"}).is_error


def test_so_many_views_as_the_settings_say(own_gallery, views):
    with serving(own_gallery, views=2) as client:
        assert client.get("/api/gallery").json()["limits"]["views"] == 2
        schema = client.get("/openapi.json").json()["components"]["schemas"]
        assert schema["SearchForm"]["properties"]["picture"]["maxItems"] == 2
        assert client.post("/api/search", files=several("picture", views[:2])).status_code == 200
        assert client.post("/api/search", files=several("picture", views)).status_code == 422


def test_views_that_cancel_each_other_out_are_refused(writer, views, monkeypatch):
    opposite = iter(np.array([[1.0] + [0.0] * 15, [-1.0] + [0.0] * 15], np.float32))

    def embed(pictures):
        return np.stack([next(opposite) for _ in pictures])

    monkeypatch.setattr(writer.app.state.service.gallery.model, "embed_prepared", embed)
    answer = writer.post("/api/search", files=several("picture", views[:2]))
    assert answer.status_code == 422
    assert "cancel each other out" in answer.json()["error"]["message"]


# what two people say


def judge(client, same, **more):
    return client.put("/api/judgements", data={"query_id": 1, "entry": 2, "same": same, **more})


def said_of(client):
    return [judged["same"] for judged in client.get("/api/judgements").json()["judgements"]]


def test_a_later_judgement_is_told_what_it_came_in_the_place_of(writer):
    assert [judge(writer, same).json()["former"] for same in ("true", "true", "false", "true")] == [
        None,
        True,
        True,
        False,
    ]
    assert said_of(writer) == [True]


def test_a_judgement_that_replaces_nothing_is_refused_where_somebody_said_otherwise(writer):
    assert judge(writer, "true", replace="false").json()["former"] is None
    assert judge(writer, "true", replace="false").json()["former"] is True  # the same word is no contradiction
    refused = judge(writer, "false", replace="false")
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "judged_otherwise"
    assert "to be the same vehicle; look at both once more" in refused.json()["error"]["message"]
    assert said_of(writer) == [True]
    assert judge(writer, "false", replace="true").json()["former"] is True
    assert said_of(writer) == [False]


def test_the_same_two_pictures_judged_from_the_other_side_are_the_same_pair(writer):
    other = {"query_id": 2, "entry": 1}
    assert judge(writer, "true", replace="false").json()["former"] is None
    assert judge(writer, "true", replace="false", **other).json()["former"] is True
    assert judge(writer, "false", replace="false", **other).status_code == 409
    assert said_of(writer) == [True, True]
    assert judge(writer, "false", replace="true", **other).json()["former"] is True
    assert said_of(writer) == [False]  # what was said from the first side is replaced too
    assert judge(writer, "true", replace="false").status_code == 409
    assert said_of(writer) == [False]


def test_a_picture_is_not_judged_another_vehicle_than_itself(writer):
    refused = judge(writer, "false", entry=1)
    assert refused.status_code == 422
    assert "are one picture, which shows one vehicle" in refused.json()["error"]["message"]
    assert said_of(writer) == []


def test_somebody_elses_judgement_is_not_taken_back(writer):
    query = judge(writer, "true").json()["query"]
    pair = {"query": query, "entry": 2}
    refused = writer.delete("/api/judgements", params={**pair, "same": "false"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "judged_otherwise")
    assert said_of(writer) == [True]
    assert writer.delete("/api/judgements", params={**pair, "same": "true"}).status_code == 204
    assert writer.delete("/api/judgements", params={**pair, "same": "true"}).status_code == 404
    assert said_of(writer) == []


def test_a_copy_that_judges_otherwise_is_named(own_gallery, tmp_path):
    target = tmp_path / "copy"
    done("gallery", "copy", own_gallery, target)
    content = "a" * 64
    for folder, same in ((own_gallery, True), (target, False)):
        with Gallery.open(str(folder)) as gallery:
            gallery.engine.judge(Judgement(content, 2, same))
            gallery.engine.judge(Judgement(content, 3, True))
    again = run("gallery", "copy", own_gallery, target, "--resume")
    assert again.status == 0
    assert "1 judgement of the copy says otherwise" in " ".join(again.errors.split())


# filters by what entries are labelled with


@pytest.fixture
def labelled(own_gallery, tmp_path):
    """A client of a service over 12 pictures in two lanes, and four with a type and a colour."""
    looks = [("car", "white"), ("car", "red"), ("van", "white"), ("van", "a=b")]
    with Gallery.open(str(own_gallery)) as gallery:
        gallery.add(
            Incoming(painted(tmp_path, row, 0, 5), Sighting("", labels={"type": kind, "colour": colour}))
            for row, (kind, colour) in enumerate(looks)
        )
    with serving(own_gallery) as asking:
        yield asking


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"type": "car"}, {13, 14}),
        ({"type": ["car", "van"], "colour": "white"}, {13, 15}),
        ({"label": "lane=0"}, {1, 3, 5, 7, 9, 11}),
        ({"label": ["lane=0", "lane=1"], "camera": "c1"}, {2, 4, 6, 8, 10, 12}),
        ({"label": ["type=car", "colour=red"]}, {14}),
        ({"label": "colour=a=b"}, {16}),
        ({"label": "lane=0", "type": "car"}, set()),
        ({"type": "boat"}, set()),
    ],
)
def test_labels_are_filtered_in_every_way_of_asking(labelled, views, asked, expected):
    listed = labelled.get("/api/pictures", params=asked).json()["pictures"]
    assert {picture["id"] for picture in listed} == expected
    found = labelled.post("/api/search", files=several("picture", views[:1]), data=asked).json()["results"]
    assert {result["id"] for result in found} == expected
    similar = labelled.get("/api/pictures/16/similar", params=asked).json()["results"]
    assert {result["id"] for result in similar} == expected - {16}
    facts = labelled.get("/api/gallery").json()
    lists = {name: [values] if isinstance(values, str) else values for name, values in asked.items()}
    size = labelled.app.state.service.gallery.facts.size
    body = {"model": facts["model"], "embedding": [1.0] + [0.0] * (size - 1), **lists}
    assert {result["id"] for result in labelled.post("/api/search", json=body).json()["results"]} == expected


def test_labels_that_cannot_be_asked_for(labelled):
    for asked in ({"label": "lane"}, {"label": "=0"}, {"type": ["x"] * 65}, {"type": "x" * 300}):
        refused = labelled.get("/api/pictures", params=asked)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid"), asked


def test_the_labels_that_may_be_asked_for_are_listed(labelled):
    def values(**pictures):
        return [{"value": value, "pictures": number} for value, number in pictures.items()]

    assert labelled.get("/api/labels").json()["labels"] == [
        {"name": "colour", "values": values(white=2, **{"a=b": 1}, red=1)},
        {"name": "lane", "values": values(**{"0": 6, "1": 6})},
        {"name": "type", "values": values(car=2, van=2)},
    ]
