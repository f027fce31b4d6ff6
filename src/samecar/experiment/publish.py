"""A folder that can be uploaded to the Hugging Face hub as it is: a model, and a card that says what it is."""

from pathlib import Path
from typing import Any

from samecar.embedding.embeddings import NOT_STATED
from samecar.embedding.encoder import Encoder
from samecar.embedding.exported import ExportFacts
from samecar.experiment.composite import TrainedModel, finished_model, open_encoder
from samecar.experiment.exported import ExportedModel
from samecar.experiment.model_card import check_licence, write_card
from samecar.experiment.model_facts import facts_of_model, read_scores
from samecar.files import as_path, write_folder
from samecar.models.folders import EXPORTED_FILE, STATED_FILE, stated_beside
from samecar.version import __version__

CARD_FILE = "README.md"
"""What the hub shows of a repository, and whose head it reads."""

UNKNOWN_LICENCE = "unknown"
"""How the hub spells that none is stated."""


def save_pretrained(
    run: TrainedModel | str | Path, folder: str | Path, *, licence: str = UNKNOWN_LICENCE, name: str | None = None
) -> Path:
    """Writes a folder in the hub's conventions, which `samecar.load` opens: the model, and its card as README.md.

        >>> samecar.save_pretrained("first.onnx", "garage-resnet18", licence="apache-2.0")
        PosixPath('garage-resnet18')

    Nothing is uploaded. A run is written as model.json and model.safetensors, an exported file as model.onnx, which
    needs no torch.

    Args:
        run: a finished run, a fused, reduced or exported model, or its folder or file.
        folder: to make.
        licence: of the model, as the hub spells it, such as apache-2.0 or cc-by-nc-4.0.
        name: of the model on its card; by default the folder's.

    Raises:
        SamecarError: there is no finished model, it reads more than pictures, the folder is there already, or the
            licence is none.
    """
    check_licence(licence)
    folder = as_path(folder, "folder")
    model = finished_model(run)
    encoder = open_encoder(model, "cpu")
    card = write_card(name or folder.resolve().name, _find_facts(model, encoder), licence)
    stated = stated_beside(Path(EXPORTED_FILE)).name
    with write_folder(folder) as temporary:
        for file, content in encoder.files.items():
            (temporary / (stated if file == STATED_FILE else file)).write_bytes(content)
        (temporary / CARD_FILE).write_text(card, encoding="utf-8")
    return folder


def _find_facts(model: TrainedModel, encoder: Encoder) -> ExportFacts:
    if isinstance(model, ExportedModel):
        own: dict[str, Any] = {"model": model.model_digest()}
        if not model.facts.composition:
            own["composition"] = model.composition
        if scores := read_scores(model):
            own["scores"] = scores
        return model.facts.model_copy(update=own)
    return ExportFacts(
        samecar=__version__,
        torch=NOT_STATED,
        model=encoder.digest,
        precision="fp32",
        calibrated_on=None,
        preprocessing=encoder.preprocessing,
        embedding_size=encoder.embedding_size,
        **facts_of_model(model),
    )
