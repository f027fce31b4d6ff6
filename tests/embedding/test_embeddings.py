import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from samecar.config import load_recipe
from samecar.data import COLUMNS, evaluation_loader, open_source
from samecar.data.pictures import UnreadablePictureError
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.labels import Labels
from samecar.models import build_embedder


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_embedder(load_recipe("report-baseline", TINY).model, 8).eval()


@pytest.fixture(scope="module")
def manifest(painted_source):
    return open_source(painted_source).of_split("gallery")


@pytest.fixture(scope="module")
def embeddings(model, manifest):
    return embed(model, manifest, model_digest="0123")


def close(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 24, 1000])
def test_the_batch_size_does_not_matter(model, manifest, embeddings, batch_size):
    close(embed(model, manifest, batch_size=batch_size).matrix, embeddings.matrix)


@given(rows=st.lists(st.integers(0, 23), min_size=1, max_size=24, unique=True))
@settings(max_examples=15)
def test_rows_follow_the_manifest_whatever_its_order_and_whoever_is_beside(model, manifest, embeddings, rows):
    some = embed(model, manifest.select(rows))
    close(some.matrix, embeddings.matrix[rows])
    assert some.manifest.path.tolist() == manifest.path[rows].tolist()


def test_every_picture_has_its_own_row(embeddings, manifest):
    assert embeddings.matrix.shape == (len(manifest), 96)
    assert embeddings.matrix.dtype == np.float32
    assert len(np.unique(embeddings.matrix, axis=0)) == len(manifest)
    assert embeddings.model == "0123"


@pytest.mark.slow
def test_worker_processes_change_nothing(model, manifest, embeddings):
    assert (embed(model, manifest, workers=2).matrix == embeddings.matrix).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(model, manifest, training):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train(training)
    embed(model, manifest)
    assert model.training == training
    model.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_model_in_training_embeds_as_in_evaluation(model, manifest, embeddings):
    model.train()
    close(embed(model, manifest).matrix, embeddings.matrix)
    model.eval()


def test_an_unreadable_picture_leaves_the_model_in_its_mode(model, manifest, tmp_path):
    model.train()
    with pytest.raises(UnreadablePictureError, match="no such file"):
        embed(model, replace(manifest, root=tmp_path))
    assert model.training
    model.eval()


def test_progress_is_told_to_the_end(model, manifest):
    told = []
    embed(model, manifest, batch_size=10, progress=lambda task, done, total, note="": told.append((task, done, total)))
    assert told == [("embedding", 10, 24), ("embedding", 20, 24), ("embedding", 24, 24)]


def test_no_pictures_are_refused(model, manifest):
    with pytest.raises(SamecarError, match="there is no picture to embed in folder:"):
        embed(model, manifest.select([]))


def test_a_split_keeps_rows_and_pictures_together(model, painted_source):
    every = embed(model, open_source(painted_source))
    query = every.of_split("query")
    assert len(query) == 8
    assert set(query.manifest.split) == {"query"}
    assert (query.matrix == every.matrix[every.manifest.split == "query"]).all()


def test_what_is_saved_is_loaded_without_pickle(embeddings, tmp_path):
    path = tmp_path / "new" / "gallery.npz"
    embeddings.save(path)
    loaded = Embeddings.load(path)
    assert (loaded.matrix == embeddings.matrix).all()
    assert loaded.model == embeddings.model
    assert loaded.manifest.root == embeddings.manifest.root
    assert loaded.manifest.source == "folder"
    assert loaded.manifest.digest == embeddings.manifest.digest
    with np.load(path, allow_pickle=False) as content:
        assert {*COLUMNS, "embeddings", "model", "root", "runtime", "source"} == set(content.files)
    assert [file.name for file in path.parent.iterdir()] == ["gallery.npz"]


def test_other_names_are_refused(embeddings, tmp_path):
    with pytest.raises(SamecarError, match=r"embeddings are written as \.npz or \.npy; give a name that ends so"):
        embeddings.save(tmp_path / "gallery.csv")


def test_what_holds_no_embeddings_is_refused(embeddings, tmp_path):
    path = tmp_path / "gallery.npz"
    embeddings.save(path)
    whole = path.read_bytes()
    with np.load(path) as content:
        columns = dict(content)
    contents = {
        "cut.npz": whole[: len(whole) // 2],
        "empty.npz": b"",
        "text.npz": b"embeddings",
        "spoilt.npz": whole.replace(b"descr", b"dexcr"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "array", embeddings.matrix)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    np.savez(tmp_path / "pickled.npz", **{**columns, "path": np.array([None, 1], dtype=object)})
    np.savez(tmp_path / "lacking.npz", **{name: column for name, column in columns.items() if name != "path"})
    np.savez(tmp_path / "short.npz", **{**columns, "embeddings": columns["embeddings"][:5]})
    np.savez(tmp_path / "flat.npz", **{**columns, "embeddings": columns["embeddings"].ravel()})
    np.savez(tmp_path / "split.npz", **{**columns, "split": np.full(24, "galery")})
    sentences = {
        **dict.fromkeys((*contents, "array.npz", "pickled.npz"), "cannot be read as .npz: "),
        "absent.npz": "is not there; give an .npz file of embeddings",
        "lacking.npz": "lacks path; it needs embeddings, path, vehicle_id, camera_id, split, ",
        "short.npz": "has path of shape (24,) for 5 embeddings",
        "flat.npz": "has embeddings of shape (2304,); they must be a matrix",
        "split.npz": "split of picture 'gallery/v08_c0_0.png' is 'galery'; it must be one of train, query, gallery",
    }
    for name, sentence in sentences.items():
        with pytest.raises(SamecarError, match=f"{name}.*{re.escape(sentence)}"):
            Embeddings.load(tmp_path / name)


# embeddings with their rows


def test_embeddings_have_labels_whatever_their_rows_are(embeddings, manifest):
    assert embeddings.labels.vehicle_id.tolist() == manifest.vehicle_id.tolist()
    assert embeddings.labels.path.tolist() == manifest.path.tolist()
    labels = Labels(np.array(["a", "b"]), np.array(["1", "2"]))
    alone = Embeddings(np.eye(2), labels)
    assert (len(alone), alone.model) == (2, "not stated")
    assert alone.labels is labels
    assert alone.labels.path.tolist() == ["", ""]
    with pytest.raises(SamecarError, match="came with labels alone, which do not say where the pictures lie"):
        _ = alone.manifest


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8])
def test_embeddings_keep_the_type_of_number_that_they_were_given(kind):
    given = Embeddings(np.arange(6, dtype=kind).reshape(3, 2), Labels(np.array(["a", "b", "c"]), np.full(3, "")), "m")
    chosen = given.select(np.array([2, 0]))
    assert chosen.matrix.dtype == kind
    assert chosen.matrix.tolist() == [[4, 5], [0, 1]]
    assert chosen.labels.vehicle_id.tolist() == ["c", "a"]
    assert chosen.model == "m"


def test_each_embedding_has_one_row(manifest):
    with pytest.raises(SamecarError, match="2 embeddings have 24 labels; give one for each"):
        Embeddings(np.zeros((2, 3), np.float32), manifest)


def test_embeddings_need_no_torch():
    code = "import sys, samecar.embedding.reading, samecar.evaluation; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "False"


def test_a_flipped_embedding_is_the_mean_of_picture_and_mirror_image(model, manifest, embeddings):
    flipped = embed(model, manifest, model_digest="0123", flip=True)
    loader = evaluation_loader(manifest, model.preprocessing, batch_size=64)
    with torch.inference_mode():
        mirrored = np.concatenate([model(torch.flip(pictures, dims=[3])).numpy() for pictures in loader])
    close(flipped.matrix, (embeddings.matrix + mirrored) / 2)
    assert flipped.model == "0123 with flip"


def test_flipping_leaves_the_pictures_as_they_are(model, manifest):
    """The network sees each batch as it was, then its mirror image: nothing is normalised twice or written to."""
    seen = []
    hook = model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    try:
        embed(model, manifest, batch_size=100, flip=True)
        embed(model, manifest, batch_size=100)
    finally:
        hook.remove()
    first, mirrored, again = seen
    assert torch.equal(first, again)
    assert torch.equal(mirrored, first.flip(-1))
