"""Larger pictures that a gallery keeps: how large, of which entries, and through every way that a gallery can take."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from plain_onnx import write_model
from tiny_run import tiny_run

import samecar
from samecar.embedding.foreign import state_preprocessing
from samecar.errors import SamecarError
from samecar.experiment.embed import bound_model
from samecar.retrieval.engine import all_entries
from samecar.retrieval.export import copy_gallery, export_manifest
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.places import create_engine
from samecar.retrieval.re_embedding import re_embed, switch_over
from samecar.retrieval.records import MOST_PREVIEWS, UNREAD, Sighting, crop_content, picture_content, track_content

SIDE = 640


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return bound_model(tiny_run(tmp_path_factory.mktemp("tiny") / "run"))


def smooth(size):
    """A picture without a fine grain, which JPEG changes little."""
    across = np.linspace(0, 255, size[0])[None].repeat(size[1], 0)
    down = np.linspace(255, 0, size[1])[:, None].repeat(size[0], 1)
    return Image.fromarray(np.stack([across, down, across / 2], -1).astype(np.uint8))


def written(folder, name, size, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    smooth(size).save(path, **options)
    return Incoming(path, replace(UNREAD, address=str(path)))


def shown(content):
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "JPEG"
        return picture.convert("RGB")


@pytest.fixture
def gallery(tmp_path, model):
    """Of a photograph, a smaller picture, one that its thumbnail shows whole, one on its side, and a track."""
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    pictures = [
        written(tmp_path / "crops", "photograph.png", (1500, 1000)),
        written(tmp_path / "crops", "smaller.png", (300, 200)),
        written(tmp_path / "crops", "small.png", (160, 90)),
        written(tmp_path / "crops", "turned.jpg", (900, 450), exif=turned, quality=95),
    ]
    with Gallery.create(tmp_path / "gallery", model, preview=SIDE) as made:
        made.add(pictures)
        crops = [smooth((100 + 10 * place, 80)) for place in range(MOST_PREVIEWS + 2)]
        contents = [crop_content(np.asarray(crop)) for crop in crops]
        made.add_pooled(Sighting(track_content(contents)), crops, [float(place) for place in range(len(crops))])
        yield made


def kept(engine):
    """All larger pictures by the content of their entries."""
    return {entry.sighting.content: engine.previews(entry.id) for entry in all_entries(engine)}


def test_previews_have_their_side_and_are_not_kept_where_the_thumbnail_is_as_large(gallery):
    sizes = [[shown(preview.picture).size for preview in gallery.engine.previews(number)] for number in range(1, 5)]
    assert sizes == [[(640, 427)], [(300, 200)], [], [(320, 640)]]
    assert shown(gallery.engine.thumbnail(1)).size == (160, 107)
    shrunk = smooth((1500, 1000)).resize((640, 427), Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(shown(gallery.engine.previews(1)[0].picture), int) - np.asarray(shrunk, int))
    assert difference.max() <= 8
    assert [preview.seconds for preview in gallery.engine.previews(1)] == [None]


def test_of_a_track_a_few_pictures_are_kept_with_their_moments(gallery):
    previews = gallery.engine.previews(5)
    assert [preview.seconds for preview in previews] == [float(place) for place in range(MOST_PREVIEWS)]
    widths = [shown(preview.picture).width for preview in previews]
    assert widths == [100 + 10 * place for place in range(MOST_PREVIEWS)]


def test_a_gallery_without_previews_keeps_none(tmp_path, model):
    with Gallery.create(tmp_path / "plain", model) as plain:
        plain.add([written(tmp_path, "one.png", (900, 600))])
        plain.add_pooled(Sighting("a" * 64), [smooth((300, 300))], [1.0])
        assert (plain.engine.previews(1), plain.engine.previews(2)) == ([], [])


def test_embeddings_and_thumbnails_do_not_change_with_previews(gallery, tmp_path, model):
    with Gallery.create(tmp_path / "plain", model) as plain:
        paths = sorted((tmp_path / "crops").iterdir())
        plain.add([Incoming(path, replace(UNREAD, address=str(path))) for path in paths])
        numbers = [gallery.engine.known([picture_content(path.read_bytes())]).popitem()[1] for path in paths]
        np.testing.assert_array_equal(plain.engine.embeddings([1, 2, 3, 4]), gallery.engine.embeddings(numbers))


def test_a_copy_keeps_them_and_when_they_were_added(gallery, tmp_path):
    with_previews = create_engine(str(tmp_path / "copy"), None, gallery.facts)
    without = create_engine(str(tmp_path / "bare"), None, gallery.facts.model_copy(update={"preview": 0}))
    for target in (with_previews, without):
        copy_gallery(gallery.engine, target)
        dates = [[entry.added for entry in all_entries(engine)] for engine in (target, gallery.engine)]
        assert dates[0] == dates[1]
    assert kept(with_previews) == kept(gallery.engine)
    assert set(map(len, kept(without).values())) == {0}
    for target in (with_previews, without):
        assert target.check() == []
        target.close()


def test_re_embedding_keeps_them(gallery, tmp_path, model):
    state_preprocessing(write_model(tmp_path / "second.onnx"), "24x16:half")
    second = samecar.load(tmp_path / "second.onnx")
    before, dates = kept(gallery.engine), {entry.id: entry.added for entry in gallery.engine.listed()}
    gallery.engine.remove([5])  # of whose track no crops were written
    del before[next(content for content, previews in before.items() if len(previews) > 1)]
    gallery.close()
    found = re_embed(tmp_path / "gallery", second)
    switch_over(tmp_path / "gallery", second, found)
    with Gallery.open(tmp_path / "gallery") as made:
        assert (made.facts.model, made.facts.preview) == (second.digest, SIDE)
        assert kept(made.engine) == before
        del dates[5]
        assert {entry.id: entry.added for entry in made.engine.listed()} == dates
        assert made.check() == []


def test_what_lies_nowhere_is_exported_as_large_as_it_is_kept(gallery, tmp_path):
    (tmp_path / "crops" / "photograph.png").unlink()
    assert export_manifest(gallery.engine, tmp_path / "out.csv").warnings == ()
    for number in (1, 5):
        content = gallery.engine.entries([number])[number].sighting.content
        exported = (tmp_path / "out-pictures" / f"{content}.jpg").read_bytes()
        assert exported == gallery.engine.previews(number)[0].picture


@pytest.mark.parametrize("preview", [-1, 100, 160, 1025])
def test_previews_that_cannot_be(tmp_path, model, preview):
    with pytest.raises(SamecarError, match="give more than the thumbnail's 160 and at most 1,024, or 0 to keep none"):
        Gallery.create(tmp_path / "gallery", model, preview=preview)
    assert not (tmp_path / "gallery").exists()
