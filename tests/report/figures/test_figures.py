import dataclasses
import itertools
import sys

import numpy as np
import pytest
import torch
from conftest import TINY
from matplotlib.backends.backend_agg import RendererAgg
from PIL import Image
from torch.nn import functional

from samecar.config import AugmentationSettings, load_recipe
from samecar.data import evaluation_transform, open_source
from samecar.data.pictures import read_picture
from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.evaluation import find_protocol
from samecar.experiment.evaluate import score_run, telling_results
from samecar.experiment.train import initial_model, train
from samecar.hardware import machine
from samecar.preprocessing import Preprocessing
from samecar.report.figures.activation import activation_figure, similarity_maps
from samecar.report.figures.augmentations import ALL_AUGMENTATIONS, AUGMENTATIONS, augment_picture, augmentations_figure
from samecar.report.figures.curves import curves_figure, smoothed
from samecar.report.figures.embedding_map import embedding_map_figure, layout
from samecar.report.figures.features import features_figure, prepared, stage_maps
from samecar.report.figures.pairs import DistanceCounts, count_distances, distances_figure
from samecar.report.figures.ranks import ranks_figure
from samecar.report.figures.style import save_figure
from samecar.report.figures.tuning import TriedRecipe, history_figure, importances_figure, slices_figure

HERE = machine("cpu", 0)

SHARES = {"optimizer.learning_rate": 0.6, "model.pooling": 0.31, "augmentation.erasing": 0.09}
TRIALS = [
    TriedRecipe(
        number,
        ("complete", "pruned", "complete", "failed")[number % 4],
        None if number % 4 == 3 else 0.5 + 0.01 * (7 * number % 11),
        {
            "optimizer.learning_rate": 10.0 ** (-5 + 2 * (5 * number % 12) / 11),
            "model.pooling": ("average", "gem", "max")[number % 3],
            "augmentation.erasing": (3 * number % 12) / 11,
        },
        as_it_stands=number == 0,
    )
    for number in range(12)
]
"""Of a study that was never made."""


@pytest.fixture(scope="module")
def run(painted_source, tmp_path_factory):
    return train(
        load_recipe("report-baseline", TINY), painted_source, tmp_path_factory.mktemp("runs") / "tiny", on=HERE
    )


@pytest.fixture(scope="module")
def tested(run, painted_source):
    return score_run(run, open_source(painted_source), on=HERE)


@pytest.fixture
def picture(painted_folder):
    return read_picture(painted_folder / "gallery" / "v09_c1_2.png")


@pytest.fixture
def other(painted_folder):
    return read_picture(painted_folder / "gallery" / "v10_c0_1.png")


def embeddings_of(side, rows):
    return side.select(rows)


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]


# features


def test_feature_maps_are_those_of_the_four_stages(picture):
    model = initial_model(load_recipe("report-resnet18", ["model.weights=none"]), 0)
    maps = stage_maps(model, picture)
    assert [tuple(stage.shape) for stage in maps] == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
    with torch.no_grad():
        last = model.backbone(prepared(model, picture))[-1][0]
    torch.testing.assert_close(maps[-1], last)


def test_the_features_figure_has_a_row_for_each_stage(picture):
    model = initial_model(
        load_recipe("report-resnet18", ["model.weights=none", "model.height=32", "model.width=32"]), 0
    )
    figure = features_figure(model, picture, title="Maps", columns=3)
    assert {"Maps", "stage 1", "stage 4", "512 × 1 × 1"} <= set(texts(figure))
    assert sum(len(axes.images) for axes in figure.axes) == 1 + 4 * 3


def test_a_model_without_stages_has_no_feature_maps(picture):
    model = initial_model(load_recipe("report-baseline", ["model.backbone=test_vit", "model.weights=none"]), 0)
    with pytest.raises(SamecarError, match="'test_vit' has no stages"):
        stage_maps(model, picture)
    with pytest.raises(SamecarError, match="'test_vit' has no feature maps"):
        similarity_maps(model, picture, picture)


# augmentations


def test_each_augmentation_changes_the_picture_but_the_original_is_plain(picture):
    plain = evaluation_transform(Preprocessing(48, 64, mean=(0, 0, 0), deviation=(1, 1, 1)))(picture)
    shown = {name: augment_picture(picture, options, (48, 64), seed=1) for name, options in ALL_AUGMENTATIONS.items()}
    torch.testing.assert_close(shown.pop("Original"), plain)
    assert len(shown) == 13
    for name, tensor in shown.items():
        assert tensor.shape == (3, 48, 64)
        assert not torch.allclose(tensor, plain), name
        assert torch.equal(tensor, augment_picture(picture, ALL_AUGMENTATIONS[name], (48, 64), seed=1))
    erased = (shown["Random erasing"] != plain).any(dim=0)
    assert (shown["Random erasing"][:, erased] == 0.5).all()


def test_the_augmentations_figure_shows_six_named_pictures_and_leaves_chance_alone(picture):
    torch.manual_seed(5)
    figure = augmentations_figure(picture)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    assert [axes.get_title() for axes in figure.axes] == list(AUGMENTATIONS)


def test_the_augmentations_figure_can_show_every_kind(picture):
    figure = augmentations_figure(picture, kinds="all", picture_height=32, picture_width=32)
    assert [axes.get_title() for axes in figure.axes] == list(ALL_AUGMENTATIONS)
    options = {option for options in ALL_AUGMENTATIONS.values() for option in options}
    switches = {name for name in AugmentationSettings.model_fields if "_" not in name} | {"grey_pictures"}
    assert switches <= options  # who adds a change to the settings shows it here


# curves


def test_smoothing_is_the_mean_of_the_past_with_fading_weights():
    values, weight = [3.0, 1.0, 2.0], 0.6
    weights = np.array([weight**2, weight, 1.0])
    assert smoothed(values, weight)[-1] == pytest.approx(float(weights @ values / weights.sum()))
    assert smoothed(values, 0) == values
    assert smoothed([5.0] * 4, 0.9) == pytest.approx([5.0] * 4)


def test_curves_name_each_run_with_its_last_value_and_state_the_smoothing(run):
    figure = curves_figure({"first": run, "second": run}, smoothing=0.5, title="Loss of two")
    losses = [record["loss"] for record in run.metrics()]
    assert f"first ({smoothed(losses, 0.5)[-1]:.3g})" in texts(figure)
    assert any("weight 0.5" in text for text in texts(figure))
    assert {"epoch", "loss", "Loss of two", "last epoch, smoothed"} <= set(texts(figure))


def test_a_value_that_is_not_smoothed_is_not_called_so(run):
    figure = curves_figure({"first": run}, smoothing=0)
    assert f"first ({run.metrics()[-1]['loss']:.3g})" in texts(figure)
    assert "last epoch" in texts(figure)
    assert not any("smoothed" in text and "not smoothed" not in text for text in texts(figure))


def test_an_unknown_metric_is_answered_with_the_known_ones(run):
    with pytest.raises(SamecarError, match="no run has epochs with 'lss'; known are accuracy, "):
        curves_figure({"run": run}, metric="lss")
    with pytest.raises(SamecarError, match="smoothing is 1"):
        curves_figure({"run": run}, smoothing=1)


# ranks


def test_the_ranks_figure_shows_the_query_and_its_results(tested):
    ranked = tested.ranked(None, 5)
    assert len(ranked.results) == 5
    figure = ranks_figure([ranked])
    assert len(figure.axes[0].images) == 6
    shown = [text for text in texts(figure) if " · right" in text or " · wrong" in text]
    assert shown == [
        f"{place} · {'right' if result.correct else 'wrong'}" for place, result in enumerate(ranked.results, 1)
    ]


def test_a_query_can_be_named(tested):
    assert tested.ranked("v09_c1_0.png", 3).path.name == "v09_c1_0.png"
    with pytest.raises(SamecarError, match=r"0 queries have a path that ends in 'nobody\.jpg'"):
        tested.ranked("nobody.jpg", 3)
    with pytest.raises(SamecarError, match="8 queries"):
        tested.ranked(".png", 3)


def test_telling_results_are_the_first_right_and_the_first_wrong_one(tested):
    ranked = tested.ranked(None, len(tested.gallery))
    telling = telling_results(ranked)
    kinds = [result.correct for result in ranked.results]
    right, wrong = kinds.index(True), kinds.index(False)
    assert telling == [
        (f"match, rank {right + 1}", ranked.results[right].path),
        (f"wrong vehicle, rank {wrong + 1}", ranked.results[wrong].path),
    ]


# activation


def test_without_a_head_a_map_is_the_product_with_the_other_embedding_place_by_place(run, picture, other):
    model = run.load_model()
    of_first, of_second, cosine = similarity_maps(model, picture, other)
    with torch.no_grad():
        maps = model.backbone(torch.cat([prepared(model, picture), prepared(model, other)]))[-1]
        embeddings = model(torch.cat([prepared(model, picture), prepared(model, other)]))
        assert cosine == pytest.approx(float(functional.cosine_similarity(embeddings[:1], embeddings[1:])), abs=1e-5)
        for found, own, foreign in ((of_first, 0, 1), (of_second, 1, 0)):
            product = (maps[own] * embeddings[foreign][:, None, None]).sum(dim=0).relu()
            wide = functional.interpolate(product[None, None], found.shape, mode="bilinear")[0, 0]
            np.testing.assert_allclose(found, (wide / wide.max()).numpy(), atol=1e-4)


def test_maps_of_a_model_with_head_and_fusion_are_finite_and_leave_the_model_alone(picture, other):
    changes = ["model.weights=none", "model.height=64", "model.width=64"]
    model = initial_model(load_recipe("report-se-resnet18-concatenation", changes), 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    maps = similarity_maps(model, picture, other)[:2]
    for found in maps:
        assert found.shape == (64, 64)
        assert np.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_activation_figure_shows_pictures_and_maps(run, picture, other):
    figure = activation_figure(run.load_model(), picture, [("match", other), ("wrong", picture)], title="Where")
    assert {"Where", "query", "match", "wrong"} <= set(texts(figure))
    assert sum(len(axes.images) for axes in figure.axes) == 2 * (2 + 2 * 2)


# embedding map


def test_a_query_that_is_in_the_gallery_too_is_shown_once(tested):
    assert len(tested.pictures()) == len(tested.gallery)
    apart = dataclasses.replace(tested, gallery=embeddings_of(tested.gallery, np.arange(1, len(tested.gallery))))
    pictures = apart.pictures()
    assert len(pictures) == len(tested.gallery)
    assert pictures.manifest.split[-1] == "query"
    np.testing.assert_array_equal(pictures.matrix[-1], tested.query.matrix[0])


@pytest.mark.parametrize("colour_by", ["vehicle", "camera"])
def test_the_embedding_map_marks_every_picture_of_the_chosen_vehicles(tested, colour_by):
    figure = embedding_map_figure(tested.gallery, colour_by=colour_by, vehicles=3)
    marks = figure.axes[0].collections
    assert len(marks) == (3 if colour_by == "vehicle" else 2)
    assert sum(len(group.get_offsets()) for group in marks) == 18
    assert any("t-SNE of 18 pictures of 3 vehicles" in text for text in texts(figure))


def test_the_layout_depends_on_the_seed_alone_and_keeps_groups_together():
    generator = np.random.default_rng(1)
    matrix = np.concatenate([generator.normal(centre, 0.1, (10, 6)) for centre in (0, 20, 40)]).astype(np.float32)
    places = layout(matrix, 1)
    np.testing.assert_array_equal(places, layout(matrix, 1))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 10 == np.repeat([0, 1, 2], 10)).all()


def test_too_few_pictures_and_too_many_groups_are_refused(tested):
    with pytest.raises(SamecarError, match="needs 4 pictures or more; there are 3"):
        layout(np.eye(3), 1)
    many = tested.gallery.manifest.select(np.arange(24))
    named = type(many)(many.root, many.path, np.array([f"w{row}" for row in range(24)]), many.camera_id, many.split)
    doubled = Embeddings(np.eye(24, dtype=np.float32), named, "none")
    assert len(embedding_map_figure(doubled, vehicles=24).axes[0].collections) == 24


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(SamecarError, match=r'needs scikit-learn, .* run `pip install "\.\[plots\]"`'):
        layout(np.eye(9), 1)


# distances


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_pairs_are_counted_as_a_plain_loop_counts_them(tested, distance):
    query, gallery = tested.query, tested.gallery
    counts = count_distances(query, gallery, find_protocol("plain"), distance=distance)
    same, different = [], []
    for row in range(len(query)):
        for column in range(len(gallery)):
            first, second = query.matrix[row].astype(float), gallery.matrix[column].astype(float)
            if distance == "cosine":
                value = 1 - first @ second / np.linalg.norm(first) / np.linalg.norm(second)
            else:
                value = np.linalg.norm(first - second)
            if query.manifest.vehicle_id[row] != gallery.manifest.vehicle_id[column]:
                different.append(value)
            elif query.manifest.camera_id[row] != gallery.manifest.camera_id[column]:
                same.append(value)
    assert (counts.same.sum(), counts.different.sum()) == (len(same), len(different))
    width = counts.edges[1]
    for pairs, values in ((counts.same, same), (counts.different, different)):
        mean = float(pairs @ (counts.edges[:-1] + width / 2) / pairs.sum())
        assert mean == pytest.approx(float(np.mean(values)), abs=width)


def test_the_equal_error_is_where_both_shares_meet():
    edges = np.arange(5.0)
    apart = DistanceCounts(edges, np.array([5, 5, 0, 0]), np.array([0, 0, 4, 4]))
    assert apart.equal_error() == (2.0, 0.0)
    mixed = DistanceCounts(edges, np.array([4, 4, 2, 0]), np.array([0, 2, 4, 4]))
    assert mixed.equal_error() == (2.0, pytest.approx(0.2))


def test_the_distances_figure_says_how_many_pairs_there_are(tested):
    counts = count_distances(tested.query, tested.gallery, tested.protocol)
    figure = distances_figure(counts, title="Pairs")
    assert {f"same vehicle ({counts.same.sum():,} pairs)", "Euclidean distance", "Pairs"} <= set(texts(figure))
    assert any("equal error" in text for text in texts(figure))


def test_without_pairs_of_one_vehicle_there_is_nothing_to_compare(tested):
    one = tested.query.manifest.vehicle_id[0]
    rows = np.flatnonzero(tested.gallery.manifest.vehicle_id != one)
    queries = np.flatnonzero(tested.query.manifest.vehicle_id == one)
    with pytest.raises(SamecarError, match="no pairs of one vehicle"):
        count_distances(embeddings_of(tested.query, queries), embeddings_of(tested.gallery, rows), tested.protocol)


# sizes


@pytest.fixture(scope="module")
def kinds(run, tested, painted_folder):
    """A function for each kind of figure, which takes a width and a title."""
    picture, other = (read_picture(painted_folder / "gallery" / f"{name}.png") for name in ("v09_c1_2", "v10_c0_1"))
    model, counts = run.load_model(), count_distances(tested.query, tested.gallery, tested.protocol)
    named = {f"FC-BN-ReLU-Dropout-FC number {number}": run for number in range(6)}
    others = [("match, rank 3", other), ("wrong vehicle, rank 1", picture)]
    return {
        "features": lambda **sheet: features_figure(model, picture, **sheet),
        "augmentations": lambda **sheet: augmentations_figure(picture, **sheet),
        "all-augmentations": lambda **sheet: augmentations_figure(picture, kinds="all", **sheet),
        "curves": lambda **sheet: curves_figure(named, **sheet),
        "ranks": lambda **sheet: ranks_figure([tested.ranked(None, 20)], **sheet),
        "activation": lambda **sheet: activation_figure(model, picture, others, **sheet),
        "embeddings": lambda **sheet: embedding_map_figure(tested.gallery, **sheet),
        "distances": lambda **sheet: distances_figure(counts, **sheet),
        "history": lambda **sheet: history_figure(TRIALS, untrained=0.4, **sheet),
        "importances": lambda **sheet: importances_figure(SHARES, **sheet),
        "slices": lambda **sheet: slices_figure(TRIALS, logarithmic=["optimizer.learning_rate"], **sheet),
    }


KINDS = ("features", "augmentations", "all-augmentations", "curves", "ranks", "activation", "embeddings", "distances")
KINDS += ("history", "importances", "slices")  # of a study
TITLE = "A title of so many words that a column of a paper cannot hold it in a single line"


@pytest.fixture
def drawn_words(monkeypatch):
    """What is really drawn: each line of text, its points and its box in dots (left, top, right, bottom)."""
    lines = []

    def draw_text(self, gc, x, y, text, font, angle, **rest):
        width, height, descent = self.get_text_width_height_descent(text, font, ismath=False)
        box = (x, y - height + descent, x + width, y + descent) if angle == 0 else (x - height, y - width, x, y)
        lines.append((text, font.get_size_in_points(), box))

    monkeypatch.setattr(RendererAgg, "draw_text", draw_text)
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("width", [3, 3.5, None])
@pytest.mark.parametrize("kind", KINDS)
def test_words_collide_at_no_width(kind, width, kinds, drawn_words, tmp_path):
    figure = kinds[kind](width=width, title=TITLE)
    assert width is None or figure.get_figwidth() == width
    (path,) = save_figure(figure, tmp_path / "figure.png", dpi=200)
    with Image.open(path) as image:
        right, bottom = image.size
    assert TITLE in " ".join(text for text, _, _ in drawn_words)
    for text, points, box in drawn_words:
        assert points > 6
        assert min(box[:2]) >= -1, text
        assert box[2] <= right + 1, text
        assert box[3] <= bottom + 1, text
    for (first, _, one), (second, _, other) in itertools.combinations(drawn_words, 2):
        across, along = (min(one[end + 2], other[end + 2]) - max(one[end], other[end]) for end in (0, 1))
        assert min(across, along) <= 2, (first, second)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_title_is_none(kind, kinds):
    titled, bare = (kinds[kind](width=3.5, title=title) for title in ("A title", ""))
    assert titled.get_suptitle() == "A title"
    assert bare.get_suptitle() == ""
    assert bare.get_figheight() < titled.get_figheight()
    with pytest.raises(SamecarError, match="width is 0; give inches"):
        kinds[kind](width=0, title="")


# a study


def test_a_history_shows_each_trial_with_a_score_and_the_best_until_then():
    axes = history_figure(TRIALS, untrained=0.4).axes[0]
    lines = {str(line.get_label()).partition(" (")[0]: line for line in axes.lines}
    assert set(lines) == {"complete", "pruned", "best until then", "recipe as it stands", "untrained"}
    complete = {trial.number: 100 * trial.score for trial in TRIALS if trial.state == "complete"}
    assert dict(zip(*lines["complete"].get_data(), strict=True)) == pytest.approx(complete)
    assert len(lines["pruned"].get_xdata()) == 3
    best, running = 0.0, []
    for score in complete.values():
        best = max(best, score)
        running.append(best)
    assert lines["best until then"].get_ydata().tolist() == pytest.approx(running)
    assert lines["untrained"].get_ydata()[0] == pytest.approx(40)
    assert lines["recipe as it stands"].get_ydata()[0] == pytest.approx(100 * TRIALS[0].score)


def test_slices_show_every_trial_over_the_value_that_it_had():
    axes = slices_figure(TRIALS, logarithmic=["optimizer.learning_rate"]).axes
    rate, pooling, erasing = axes[:3]
    assert [axis.get_xlabel() for axis in (rate, pooling, erasing)] == list(TRIALS[0].values)
    assert (rate.get_xscale(), erasing.get_xscale()) == ("log", "linear")
    drawn = {(x, round(y, 6)) for line in erasing.lines for x, y in zip(*line.get_data(), strict=True)}
    assert drawn == {
        (trial.values["augmentation.erasing"], round(100 * trial.score, 6)) for trial in TRIALS if trial.score
    }
    assert [label.get_text() for label in pooling.get_xticklabels()] == ["average", "gem", "max"]


def test_importances_are_ranked():
    (axes,) = importances_figure(SHARES).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [*reversed(SHARES)]
    assert [bar.get_width() for bar in axes.patches] == [*reversed(SHARES.values())]


def test_a_study_without_a_score_has_no_figure():
    failed = [trial for trial in TRIALS if trial.state == "failed"]
    for draw in (lambda: history_figure(failed), lambda: slices_figure(failed), lambda: importances_figure({})):
        with pytest.raises(SamecarError, match=r"no trial has a score|no importances are known"):
            draw()
    with pytest.raises(SamecarError, match="no trial with a score has changed an option"):
        slices_figure([TriedRecipe(0, "complete", 0.5)])
