from samecar.hardware import machine
from samecar.reproduce import Choices, Scale, reproduce

TINY_MODEL = ("model.backbone=test_resnet", "model.weights=none", "batch.size=8", "batch.pictures_per_vehicle=2")
HERE = machine("cpu", 0)


def tiny_choices(**options):
    return Choices(scale=Scale(epochs=1, images=0.125), changes=TINY_MODEL, **options)


def run_rows(names, source, out):
    """Some rows of table 8 at a tiny size with two seeds, run to their end and written; with their outcomes."""
    work = reproduce([f"table8/{name}" for name in names], source, out, tiny_choices(seeds=(1, 2)))
    outcomes = list(work.run(on=HERE))
    work.write()
    return work, outcomes
