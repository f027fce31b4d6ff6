import pytest

from samecar.config import load_recipe
from samecar.errors import SamecarError
from samecar.reproduce import (
    Choices,
    all_rows,
    choose_figures,
    choose_rows,
    find_row,
    report_figures,
    report_tables,
    rows_by_run,
)
from samecar.reproduce.rows import derive, differs_as_run, rows_beside

REPORT = {
    "table1": [
        (79.1, 49.5), (84.2, 54.2), (86.9, 56.9), (88.3, 59.5), (90.8, 61.6), (91.5, 63.2), (91.7, 67.2), (92.4, 66.7),
    ],
    "table2": [
        (90.5, 63.0), (90.3, 63.5), (90.9, 64.3), (89.6, 62.4), (89.9, 62.8), (89.5, 63.3), (89.9, 63.2), (93.6, 68.9),
    ],
    "table3": [(92.4, 66.7), (91.6, 66.5), (90.4, 65.7)],
    "table4": [(89.8, 60.1), (89.5, 59.0), (89.0, 60.7), (90.8, 61.6)],
    "table5": [(86.5, 53.1), (85.6, 54.6), (84.2, 54.2), (82.8, 53.2), (79.1, 49.5)],
    "table6": [(88.3, 59.5), (91.5, 63.2), (91.1, 62.7)],
    "table7": [(82.8, 53.5), (86.3, 57.9), (88.3, 59.5), (88.2, 60.5)],
    "table8": [(85.2, 54.2), (84.0, 52.9), (83.9, 53.6), (86.9, 56.9), (80.5, 48.9)],
    "table9": [(89.9, 63.3), (89.9, 63.4), (90.0, 63.4), (91.7, 67.2), (90.9, 63.2), (89.9, 62.6)],
}  # fmt: skip

TOGETHER = [
    {"table1/baseline", "table5/batch-384"},
    {"table1/batch-64", "table5/batch-64", "table8/adam"},
    {"table1/rmsprop", "table7/224x224", "table8/rmsprop"},
    {"table1/image-512", "table6/multi-step", "table7/512x512"},
    {"table1/embedding-1024", "table4/embedding-1024"},
    {"table1/warm-up", "table6/warm-up-linear"},
]
PRINTED = [*TOGETHER, {"table1/head", "table9/fc-bn-relu-dropout-fc"}, {"table1/random-erasing", "table3/rea"}]
AS_RUN = [*TOGETHER, {"table1/head", "table1/random-erasing", "table3/rea", "table9/fc-bn-relu-dropout-fc"}]

BASE = {
    "model.backbone": "mobilenetv3_small_100",
    "model.weights": "torchvision:mobilenet_v3_small.IMAGENET1K_V1",
    "model.initialisation": "torch",
    "model.batch_norm_epsilon": 1e-3,
    "model.batch_norm_momentum": 0.01,
    "model.head": "none",
    "model.embedding_size": None,
    "model.attention": "none",
    "model.fusion": "none",
    "model.zero_bias": False,
    "model.height": 224,
    "model.width": 224,
    "augmentation.centre_crop": 1.0,
    "augmentation.translation": 0.5,
    "augmentation.flip": 0.5,
    "augmentation.jitter": False,
    "augmentation.pca_colour": 0.0,
    "augmentation.erasing": 0.0,
    "batch.size": 384,
    "batch.pictures_per_vehicle": 4,
    "loss.cross_entropy": 1.0,
    "loss.triplet": 1.0,
    "loss.margin": 0.3,
    "loss.label_smoothing": 0.0,
    "optimizer.name": "adam",
    "optimizer.learning_rate": 1e-4,
    "optimizer.weight_decay": 5e-4,
    "optimizer.amsgrad": False,
    "schedule.decay": "multi-step",
    "schedule.milestones": (20, 40),
    "schedule.factor": 0.1,
    "schedule.warmup_epochs": 0,
    "training.epochs": 60,
    "training.validation": 0.0,
    "training.seed": 1,
}
SMALL = {"batch.size": 64}
RMSPROP = {**SMALL, "optimizer.name": "rmsprop"}
LARGE = {**RMSPROP, "model.height": 512, "model.width": 512}
WIDE = {**LARGE, "model.head": "fc", "model.embedding_size": 1024}
WARM = {**WIDE, "schedule.warmup_epochs": 10}
HEAD = {**WARM, "model.head": "fc-bn-relu-dropout-fc"}
ERASED = {**HEAD, "augmentation.erasing": 0.5}
RESNET = {
    **SMALL,
    "model.backbone": "resnet18",
    "model.weights": "torchvision:resnet18.IMAGENET1K_V1",
    "model.batch_norm_epsilon": None,
    "model.batch_norm_momentum": None,
    "model.head": "fc-bn-relu-fc",
    "model.embedding_size": 1024,
    "augmentation.erasing": 0.5,
}
COLOURED = {**ERASED, "augmentation.jitter": True, "augmentation.pca_colour": 0.5}
VANILLA = {**LARGE, "schedule.warmup_epochs": 10}
RUN_SIZE = {"model.height": 224, "model.width": 224, "augmentation.erasing": 0.5}


def headed(name):
    return {**VANILLA, "model.head": name, "model.embedding_size": 1024}


EXPECTED = {
    "table1/baseline": {},
    "table1/batch-64": SMALL,
    "table1/rmsprop": RMSPROP,
    "table1/image-512": LARGE,
    "table1/embedding-1024": WIDE,
    "table1/warm-up": WARM,
    "table1/head": HEAD,
    "table1/random-erasing": ERASED,
    "table2/resnet18": RESNET,
    "table2/se-resnet18": {**RESNET, "model.attention": "se"},
    "table2/se-resnet18-concatenation": {**RESNET, "model.attention": "se", "model.fusion": "concatenate"},
    "table2/se-resnet18-addition": {**RESNET, "model.attention": "se", "model.fusion": "add"},
    "table2/resnet-cbam": {**RESNET, "model.attention": "cbam"},
    "table2/resnet-cbam-concatenation": {**RESNET, "model.attention": "cbam", "model.fusion": "concatenate"},
    "table2/se-resnet18-global": {**RESNET, "model.attention": "se", "model.fusion": "global-chain"},
    "table2/se-resnext50": {
        **RESNET,
        "model.backbone": "legacy_seresnext50_32x4d",
        "model.weights": "timm:legacy_seresnext50_32x4d.in1k",
        "model.embedding_size": 512,
    },
    "table3/rea": ERASED,
    "table3/rea-jitter-colour": COLOURED,
    "table3/rea-jitter-colour-crop": {**COLOURED, "augmentation.centre_crop": 0.893},
    **{f"table4/embedding-{size}": {**WIDE, "model.embedding_size": size} for size in (128, 256, 512, 1024)},
    **{f"table5/batch-{size}": {"batch.size": size} for size in (16, 32, 64, 128, 384)},
    "table6/multi-step": LARGE,
    "table6/warm-up-linear": WARM,
    "table6/warm-up-cosine": {**WARM, "schedule.decay": "cosine"},
    "table7/128x128": {**RMSPROP, "model.width": 128, "model.height": 128},
    "table7/224x224": RMSPROP,
    "table7/512x512": LARGE,
    "table7/512x288": {**RMSPROP, "model.width": 512, "model.height": 288},
    "table8/adam": SMALL,
    "table8/adamw": {**SMALL, "optimizer.name": "adamw", "optimizer.amsgrad": True},
    "table8/amsgrad": {**SMALL, "optimizer.name": "amsgrad"},
    "table8/rmsprop": RMSPROP,
    "table8/sgd": {**SMALL, "optimizer.name": "sgd", "optimizer.learning_rate": 1e-3},
    "table9/vanilla": VANILLA,
    **{
        f"table9/{name}": headed(name)
        for name in ("fc-relu-dropout-bn-fc", "fc-relu-bn-fc", "fc-bn-relu-dropout-fc", "fc-bn-relu-fc", "fc-bn-fc")
    },
}
EXPECTED_AS_RUN = {
    identifier: {**changes, **RUN_SIZE} if identifier in {"table1/head", "table1/random-erasing"}
    or identifier.startswith(("table3/", "table9/")) else changes
    for identifier, changes in EXPECTED.items()
}  # fmt: skip


def option(recipe, path):
    group, name = path.split(".")
    return getattr(getattr(recipe, group), name)


def test_every_row_has_the_numbers_of_the_report():
    assert {name: [(row.rank1, row.mAP) for row in table.rows] for name, table in report_tables().items()} == REPORT
    assert len(all_rows()) == len(set(all_rows())) == 46


@pytest.mark.parametrize("row", EXPECTED)
def test_a_row_is_resolved_to_the_settings_of_the_report(row):
    recipe = Choices().recipe(row)
    assert {path: option(recipe, path) for path in BASE} == BASE | EXPECTED[row]
    as_run = Choices(as_run=True).recipe(row)
    assert {path: option(as_run, path) for path in BASE} == BASE | EXPECTED_AS_RUN[row]


def test_expected_settings_cover_every_row():
    assert list(EXPECTED) == all_rows()


@pytest.mark.parametrize(("as_run", "together", "runs"), [(False, PRINTED, 35), (True, AS_RUN, 34)])
def test_rows_of_equal_recipes_are_one_run(as_run, together, runs):
    by_run = rows_by_run(Choices(as_run=as_run))
    assert [set(rows) for rows in by_run.values() if len(rows) > 1] == together
    assert len(by_run) == runs
    assert sorted(row for rows in by_run.values() for row in rows) == sorted(all_rows())


def test_every_baseline_is_a_row_of_its_table():
    for name, table in report_tables().items():
        assert find_row(f"{name}/{table.baseline}")[0] is table


def test_a_derivation_is_what_the_train_command_takes():
    derivation = derive("table8/sgd")
    assert derivation.recipe == "report-baseline"
    assert derivation.changes == ("batch.size=64", "optimizer.name=sgd", "optimizer.learning_rate=0.001")


def test_rows_are_chosen_in_the_order_of_the_report():
    assert choose_rows(["all"]) == all_rows()
    assert choose_rows(["table8", "table6"])[:4] == [
        "table6/multi-step", "table6/warm-up-linear", "table6/warm-up-cosine", "table8/adam",
    ]  # fmt: skip
    assert choose_rows(["table5"], ["batch-64", "batch-16"]) == ["table5/batch-16", "table5/batch-64"]
    assert choose_rows([], ["table8/sgd", "table1/head"]) == ["table1/head", "table8/sgd"]


@pytest.mark.parametrize(
    ("tables", "rows", "sentence"),
    [
        (["table10"], [], "'table10' is unknown; known are table1, .*, table9, figure1, .*, figure5 and all"),
        ([], [], "say what: table1, "),
        (["table5"], ["batch-8"], "table5 has no row 'batch-8'; it has table5/batch-16, "),
        ([], ["sgd"], "row 'sgd' is unknown"),
    ],
)
def test_what_the_report_does_not_have_is_an_error(tables, rows, sentence):
    with pytest.raises(SamecarError, match=sentence):
        choose_rows(tables, rows)


def test_figures_are_chosen_in_the_order_of_the_report():
    assert choose_figures(["all"]) == ["figure1", "figure2", "figure3", "figure4", "figure5"]
    assert choose_figures(["figure4", "table1", "figure2"]) == ["figure2", "figure4"]
    assert choose_rows(["figure4", "table8"]) == choose_rows(["table8"])
    assert choose_rows(["figure4"]) == []
    assert choose_figures(["all"], ["table8/sgd"]) == []
    with pytest.raises(SamecarError, match="--rows chooses rows of tables, but figure4 is a figure"):
        choose_figures(["figure4"], ["table8/sgd"])


def test_every_figure_is_drawn_from_rows_that_there_are():
    needed = {name: figure.needed_rows for name, figure in report_figures().items()}
    assert needed["figure1"] == ["table2/resnet18"]
    assert needed["figure2"] == []
    assert needed["figure3"] == choose_rows(["table8"])
    assert needed["figure4"] == choose_rows(["table9"])
    assert all(row in all_rows() for rows in needed.values() for row in rows)
    assert [name for name, figure in report_figures().items() if figure.as_run] == ["figure4"]


def test_the_clean_comparison_is_run_with_the_whole_of_table_6_and_is_no_row_of_it():
    assert rows_beside(choose_rows(["table6"])) == ["table4/embedding-1024"]
    assert rows_beside(["table6/multi-step", "table6/warm-up-linear"]) == []
    assert rows_beside(choose_rows(["table8"])) == []
    clean, warm = (Choices().recipe(row) for row in ("table4/embedding-1024", "table6/warm-up-linear"))
    differing = {path for path in BASE if option(clean, path) != option(warm, path)}
    assert differing == {"schedule.warmup_epochs"}


def test_three_tables_were_run_otherwise_than_printed():
    assert [table for table in report_tables() if differs_as_run(table)] == ["table1", "table3", "table9"]


def test_a_change_that_does_not_fit_names_the_row():
    choices = Choices(changes=("model.head=none",))
    assert choices.recipe("table5/batch-64").batch.size == 64
    with pytest.raises(SamecarError, match=r"^table4/embedding-128: .*embedding_size is 128"):
        choices.recipe("table4/embedding-128")
    assert "table4/embedding-128" not in [row for rows in rows_by_run(choices).values() for row in rows]


@pytest.mark.parametrize(
    ("recipe", "row"),
    [
        ("report-baseline", "table1/baseline"),
        ("report-mobilenetv3-small", "table1/random-erasing"),
        ("report-resnet18", "table2/resnet18"),
        ("report-se-resnet18-concatenation", "table2/se-resnet18-concatenation"),
        ("report-se-resnext50", "table2/se-resnext50"),
    ],
)
def test_recipes_that_are_shipped_under_a_name_are_rows_as_run(recipe, row):
    assert load_recipe(recipe).digest == Choices(as_run=True).recipe(row).digest
