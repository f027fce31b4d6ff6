import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samecar.data import Manifest, open_source
from samecar.errors import SamecarError
from samecar.reproduce import Choices, Scale, all_rows, scaling
from samecar.reproduce.scaling import compare_with_lists, foreign_data, name_digests


def manifest_of(root, *, train_vehicles=576, query=1678, gallery=11579, source="veri776"):
    train = [(f"t{vehicle}.jpg", f"{vehicle:04d}", "train") for vehicle in range(train_vehicles)]
    test = [(f"{split}{row}.jpg", "9999", split) for split, count in (("query", query), ("gallery", gallery))
            for row in range(count)]  # fmt: skip
    path, vehicle, split = (np.array(column) for column in zip(*train, *test, strict=True))
    return Manifest(root, path, vehicle, np.full(len(path), "c001"), split, source=source)


def test_without_a_scale_nothing_changes():
    for row in all_rows():
        assert Choices().recipe(row) == Scale().recipe(Choices().recipe(row))
    assert Scale().words(60) == []


@pytest.mark.parametrize(
    ("factor", "row", "height", "width"),
    [
        (0.25, "table1/baseline", 56, 56),
        (0.25, "table7/512x288", 72, 128),
        (0.125, "table7/512x288", 40, 64),
        (0.01, "table1/image-512", 8, 8),
        (0.5, "table7/128x128", 64, 64),
    ],
)
def test_sides_of_pictures_shrink_to_multiples_of_eight(factor, row, height, width):
    model = Choices(scale=Scale(images=factor)).recipe(row).model
    assert (model.height, model.width) == (height, width)


@pytest.mark.parametrize(
    ("epochs", "milestones", "warmup"),
    [(60, (20, 40), 10), (30, (10, 20), 5), (6, (2, 4), 1), (3, (1, 2), 1), (1, (1,), 1)],
)
def test_milestones_and_warm_up_shrink_with_the_epochs(epochs, milestones, warmup):
    recipe = Choices(scale=Scale(epochs=epochs)).recipe("table1/warm-up")
    assert recipe.training.epochs == epochs
    assert recipe.schedule.milestones == milestones
    assert recipe.schedule.warmup_epochs == warmup
    assert Choices(scale=Scale(epochs=epochs)).recipe("table1/baseline").schedule.warmup_epochs == 0


def test_identities_keep_some_train_vehicles_and_all_test_pictures(tmp_path):
    whole = manifest_of(tmp_path, train_vehicles=20, query=2, gallery=3)
    kept = Scale(identities=5).manifest(whole)
    assert kept.split_counts == {"train": 5, "query": 2, "gallery": 3}
    assert kept.digest == Scale(identities=5).manifest(whole).digest
    with pytest.raises(SamecarError, match="--identities is 21, but there are 20 train vehicles"):
        Scale(identities=21).manifest(whole)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"epochs": 0}, "epochs is 0"), ({"images": 0}, "images is 0"), ({"images": 1.5}, "images is 1.5"),
     ({"identities": 1}, "identities is 1")],
)  # fmt: skip
def test_scales_out_of_range_are_refused(options, sentence):
    with pytest.raises(SamecarError, match=sentence):
        Scale(**options)


def test_only_the_published_set_as_published_counts_as_veri776(tmp_path):
    assert foreign_data(manifest_of(tmp_path)) is None
    assert foreign_data(manifest_of(tmp_path, train_vehicles=575)) == "on other data than VeRi-776"
    assert foreign_data(manifest_of(tmp_path, gallery=11578)) == "on other data than VeRi-776"
    assert foreign_data(manifest_of(tmp_path, source="csv")) == "on other data than VeRi-776"
    (tmp_path / "drawn.json").write_text(json.dumps({}))
    assert foreign_data(manifest_of(tmp_path)) == "on drawn vehicles, not on VeRi-776"


def test_pictures_are_compared_with_the_published_lists_by_name(tmp_path, monkeypatch):
    manifest = manifest_of(tmp_path, train_vehicles=20, query=2, gallery=3)
    named = {"train": sorted(f"t{vehicle}.jpg" for vehicle in range(20)), "query": ["query0.jpg", "query1.jpg"],
             "gallery": ["gallery0.jpg", "gallery1.jpg", "gallery2.jpg"]}  # fmt: skip
    plain = {
        split: hashlib.sha256(json.dumps([[split, name] for name in names], separators=(",", ":")).encode()).hexdigest()
        for split, names in named.items()
    }
    assert name_digests(manifest) == {split: digits[:16] for split, digits in plain.items()}
    lists = {split: (len(named[split]), digits[:16]) for split, digits in plain.items()}
    monkeypatch.setattr(scaling, "VERI776_LISTS", lists)
    elsewhere = replace(manifest, root=tmp_path / "moved", path=np.char.add("sub/", manifest.path))
    for same in (manifest, elsewhere, manifest.select(np.arange(len(manifest))[::-1])):
        splits, sentence = compare_with_lists(same)
        assert sentence == "The same pictures, by name, as VeRi-776's published lists."
        assert all(split["digest"] == split["published_digest"] for split in splits)
        assert [split["pictures"] for split in splits] == [20, 2, 3]

    monkeypatch.setattr(scaling, "VERI776_LISTS", {**lists, "train": (37778, "0" * 16), "query": (2, "0" * 16)})
    assert compare_with_lists(manifest)[1] == (
        "Not the same pictures as VeRi-776's published lists: 20 train pictures, 37,758 fewer; 2 query pictures, as "
        "many, of other names."
    )


@pytest.mark.real_data
def test_the_published_lists_are_the_ones_whose_digests_are_known():
    folder = Path(os.environ.get("SAMECAR_TEST_DATA", "")) / "veri776-lists"
    if not folder.is_dir():
        pytest.skip("set SAMECAR_TEST_DATA to a folder that holds veri776-lists")
    splits, sentence = compare_with_lists(open_source(f"veri776:{folder}"))
    assert [split["pictures"] for split in splits] == [37778, 1678, 11579]
    assert sentence == "The same pictures, by name, as VeRi-776's published lists."
