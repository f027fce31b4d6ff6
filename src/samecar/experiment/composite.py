"""A folder with a model that was composed of trained ones, by `fuse` or `reduce`; it is taken where a run is.

* `model.json`: each of its models, with weight, recipe's model and where it came from; what it was chosen on
* `model.safetensors`: the tensors of all of them, without classifiers; the weights and the reduction too
* `composite.json`: what the models were trained on, so that nobody scores or calibrates on it
* `evaluations/`, `report.html`, `calibration.json`: as in a run's folder
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from samecar.config import digest
from samecar.data import Manifest, make_test_set
from samecar.embedding.encoder import Encoder
from samecar.errors import SamecarError
from samecar.experiment.exported import ExportedModel
from samecar.files import as_path, read_json, write_folder, write_json
from samecar.models.describing import describe_weights
from samecar.models.folders import DESCRIPTION_FILE, TENSORS_FILE, is_exported, tensors_digest
from samecar.training.run import Run, RunData
from samecar.version import __version__

if TYPE_CHECKING:
    from samecar.models.composite import CompositeEmbedder

COMPOSITE_FILE = "composite.json"
"""Says that a folder is that of a composite."""

FEWEST_HELD_OUT = 2
"""Vehicles; with one, every picture of the gallery is a match."""


class CompositeModel:
    """A fused or reduced model on disk; made by `samecar.fuse` and `samecar.reduce`, and found again by `open`.

        >>> fused = samecar.fuse(["runs/first", "runs/second"], "veri776:VeRi", "fused")
        >>> print(fused.composition)
        fusion of 2 models, weights 0.55 and 0.45, chosen on 58 held-out train vehicles

    Whatever takes a run to embed, score, calibrate or compare takes it, or its folder, as well.

    Attributes:
        folder: where it lies.
        data: what its models were trained on, all together.
        facts: what its model.json says.
    """

    def __init__(self, folder: Path, data: RunData, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.data = data
        self.facts = facts

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.folder}: {self.composition}>"

    @classmethod
    def open(cls, folder: str | Path) -> "CompositeModel":
        """Reads its folder.

        Raises:
            SamecarError: there is no composite in the folder, or its description is damaged.
        """
        folder = as_path(folder, "folder of a composite")
        path = folder / COMPOSITE_FILE
        if not path.is_file():
            raise SamecarError(f"{folder} holds no fused or reduced model; give a folder that `samecar fuse` made")
        for name in (DESCRIPTION_FILE, TENSORS_FILE):
            if not (folder / name).is_file():
                raise SamecarError(f"the model in {folder} lacks {name}; put back the one that was saved with it")
        content = read_json(path)
        facts = read_json(folder / DESCRIPTION_FILE)
        try:
            return cls(folder, RunData(**content["data"]), facts)
        except (KeyError, TypeError) as error:
            raise SamecarError(f"{path} describes no composite: {error}; make the model again") from error

    @property
    def composition(self) -> str:
        """What it is made of and how that was chosen, as the protocol card says it."""
        return _describe_composition(self.facts)

    @property
    def initial_weights(self) -> str:
        """What the training of its models began with, as the protocol card says it."""
        return _joined(str(part["initial_weights"]) for part in _leaves(self.facts))

    @property
    def epoch_choice(self) -> str:
        """How the epochs of its models were chosen."""
        return _joined(str(part["epoch_choice"]) for part in _leaves(self.facts))

    @property
    def seed(self) -> int | None:
        """Of the training of its models; None if they differ."""
        seeds = {part["seed"] for part in _leaves(self.facts)}
        return seeds.pop() if len(seeds) == 1 else None

    def model_digest(self) -> str:
        """Sixteen hexadecimal digits of the saved model's content, the weights and the reduction included."""
        return tensors_digest((self.folder / TENSORS_FILE).read_bytes())

    def load_model(self) -> "CompositeEmbedder":
        """Loads the network.

        Raises:
            SamecarError: a file is damaged.
        """
        from samecar.models.composite import CompositeEmbedder
        from samecar.models.saved import parse_description, parse_model

        description = parse_description((self.folder / DESCRIPTION_FILE).read_bytes())
        model = parse_model(description, (self.folder / TENSORS_FILE).read_bytes())
        assert isinstance(model, CompositeEmbedder)
        return model.eval()


TorchModel = Run | CompositeModel
"""What has a network of torch."""

TrainedModel = TorchModel | ExportedModel
"""What can embed, and knows which vehicles it was trained on."""


def as_model(given: TrainedModel | str | Path) -> TrainedModel:
    """A run, a composite or an exported model that was given itself, or by its folder or file.

    Raises:
        SamecarError: there is none of them.
    """
    if isinstance(given, Run | CompositeModel | ExportedModel):
        return given
    folder = as_path(given, "run folder")
    if is_exported(folder):
        return ExportedModel.open(folder)
    return CompositeModel.open(folder) if (folder / COMPOSITE_FILE).is_file() else Run.open(folder)


def finished_model(given: TrainedModel | str | Path) -> TrainedModel:
    """As `as_model`, but only what has a model to use.

    Raises:
        SamecarError: there is none in the folder, or the run has not ended.
    """
    model = as_model(given)
    if isinstance(model, Run):
        model.refuse_unfinished()
        model.refuse_incomplete()
    return model


def open_encoder(model: TrainedModel, device: str) -> Encoder:
    """What embeds with a model on a device; of an exported file on the processor the one that has told of it already.

    Raises:
        SamecarError: as of `Encoder.open`.
    """
    return model.encoder if isinstance(model, ExportedModel) and device == "cpu" else Encoder.open(model, device=device)


def with_network(model: TrainedModel) -> TorchModel:
    """Refuses what has no network of torch.

    Raises:
        SamecarError: it is an exported model.
    """
    if isinstance(model, ExportedModel):
        raise SamecarError(
            f"{model.path} is an exported model, without the network of torch that this needs; name the run that it "
            "was exported from"
        )
    return model


def save_composite(
    folder: Path, model: "CompositeEmbedder", parts: Sequence[dict[str, Any]], data: RunData, **facts: Any
) -> CompositeModel:
    """Writes a composite's folder, whole or not at all.

    Args:
        folder: absent or empty.
        model: the network.
        parts: what is known of each of its models.
        data: what they were trained on.
        **facts: what else model.json says, such as what is known of the `reduction`.
    """
    from samecar.models.composite import describe_model
    from samecar.models.saved import save_described

    structure = describe_model(model)
    described = [{**built, **known} for built, known in zip(structure["parts"], parts, strict=True)]
    description = {"samecar": __version__, **structure, **facts, "parts": described}
    with write_folder(folder) as temporary:
        save_described(model, temporary, description)
        write_json(temporary / COMPOSITE_FILE, {"samecar": __version__, "data": asdict(data)})
    return CompositeModel.open(folder)


def refuse_used(folder: Path) -> None:
    """Checks, before there is work to lose, that a composite may be written to a folder.

    Raises:
        SamecarError: it is neither absent nor empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SamecarError(f"{folder} is not an empty folder; choose another one for the model")


def facts_of_part(model: TorchModel) -> dict[str, Any]:
    """What a composite notes of one of its models."""
    if isinstance(model, CompositeModel):
        return {"folder": str(model.folder), "digest": model.model_digest(), **model.facts}
    return {
        "folder": str(model.folder),
        "digest": model.model_digest(),
        "recipe": model.recipe.digest,
        "initial_weights": describe_weights(model.weights),
        "epoch_choice": model.model_facts()["epoch_choice"],
        "seed": model.recipe.training.seed,
    }


def joint_data(models: Sequence[TrainedModel]) -> RunData:
    """What several models were trained on, all together."""
    data = [model.data for model in models]
    digests = list(dict.fromkeys(each.digest for each in data))
    return RunData(
        _joined(each.source for each in data),
        digests[0] if len(digests) == 1 else digest(digests),
        max(each.pictures for each in data) if len(digests) == 1 else sum(each.pictures for each in data),
        sorted({vehicle for each in data for vehicle in each.vehicles}),
    )


class HeldOut(NamedTuple):
    """A small test set to choose or to measure on."""

    pictures: Manifest
    vehicles: int
    kind: str

    @property
    def words(self) -> str:
        """Such as '58 held-out train vehicles'."""
        return f"{self.vehicles:,} {self.kind}"

    def facts(self) -> dict[str, Any]:
        """For a description."""
        return {
            "vehicles": self.vehicles,
            "kind": self.kind,
            "pictures": len(self.pictures),
            "data": self.pictures.name,
            "digest": self.pictures.digest,
        }


def held_out_vehicles(models: Sequence[TrainedModel], manifest: Manifest) -> HeldOut:
    """Queries and gallery of the train vehicles that none of the models was trained on; there may be none."""
    train = manifest.of_split("train")
    trained = np.concatenate([np.asarray(model.data.vehicles, dtype=np.str_) for model in models])
    unseen = train.labelled & ~np.isin(train.vehicle_id, trained)
    test_set = make_test_set(train.select(np.flatnonzero(unseen)))
    return HeldOut(test_set, len(np.unique(test_set.vehicle_id)), "held-out train vehicles")


def _leaves(facts: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What is known of the trained models, however deep they stand."""
    if "parts" not in facts:
        return [facts]
    return [leaf for part in facts["parts"] for leaf in _leaves(part)]


def _describe_composition(facts: dict[str, Any]) -> str:
    parts, steps = facts["parts"], []
    steps += [_describe_composition(part) for part in parts if "parts" in part]
    if len(parts) > 1:
        weights = [f"{part['weight']:.3g}" for part in parts]
        chosen = f"chosen on {facts['chosen_on']['vehicles']:,} {facts['chosen_on']['kind']}"
        steps.append(f"fusion of {len(parts)} models, weights {', '.join(weights[:-1])} and {weights[-1]}, {chosen}")
    if facts["reduction"] is not None:
        whitened = ", whitened" if facts["reduction"]["whiten"] else ""
        steps.append(f"reduced to {facts['reduction']['size']:,} by PCA{whitened}")
    return "; ".join(steps)


def _joined(texts: Iterable[str]) -> str:
    """Different texts, one after the other."""
    return "; ".join(dict.fromkeys(texts))
