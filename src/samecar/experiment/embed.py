"""From a model and a source to embeddings."""

from importlib import import_module
from pathlib import Path

import numpy as np

from samecar.config import digest
from samecar.data import Manifest, as_manifest
from samecar.embedding.embeddings import FLIPPED, Embeddings
from samecar.embedding.encoder import MANY, Encoder
from samecar.embedding.kept import KEPT_FOLDER, embed_once
from samecar.embedding.parts import Maker, Share, embed_in_parts, embed_share, embed_together
from samecar.errors import SamecarError, naming_extra
from samecar.experiment.composite import TorchModel, TrainedModel, as_model, open_encoder
from samecar.experiment.exported import ExportedModel
from samecar.files import as_path
from samecar.hardware import Machine, machine
from samecar.models.folders import DESCRIPTION_FILE, find_model
from samecar.processes import take_part
from samecar.progress import Progress, show_progress, silent
from samecar.training.run import Run


def embed_with(
    run: TrainedModel | str | Path,
    data: Manifest | str | Path,
    *,
    flip: bool = False,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
    parts: str | Path | None = None,
    reference: bool = False,
    keep: bool = False,
) -> Embeddings:
    """Embeds every picture of a source with a run's model.

        >>> samecar.embed_with("runs/resnet18", "veri776:VeRi").save("veri.npz")

    In processes that `torchrun` has started, all of them call this and embed a share; all have the whole then.

    Args:
        run: a finished run, a fused, reduced or exported model, or its folder or file.
        data: a manifest, or a source such as `veri776:PATH`.
        flip: average each embedding with that of the mirrored picture.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.
        parts: a folder that keeps embeddings of a large set while the rest is made: the same call then goes on where it
            was stopped, and the matrix lies there, not in memory. None keeps nothing.
        reference: run a trained network by torch in float32, as `evaluate` does. Else `MANY` pictures and more are
            embedded on a processor by the quickest runtime that is installed and agrees, so that numbers differ in the
            last digits.
        keep: keep the embeddings beside the model, in `embeddings/` of its folder, and read them from there where the
            same pictures were embedded in the same way before. A model that is told cameras or views keeps none,
            and neither do several processes.

    Raises:
        SamecarError: the run has not ended, there is no picture, or one cannot be read.
    """
    trained, manifest = as_model(run), as_manifest(data)
    quicken = not reference and len(manifest) >= MANY
    on = on or machine()
    with take_part(on) as processes, show_progress(progress if processes.first else silent) as report:
        if keep and processes.count == 1 and describe_side(trained, manifest) == "none":

            def embed_all(rows: Manifest, report: Progress) -> Embeddings:
                return _load_maker(trained, flip, on, quicken=quicken).embed(rows, report)

            identity = _identify_embedding(trained, flip, on)
            return embed_once(manifest, identity, embed_all, trained.folder / KEPT_FOLDER, report)
        maker = _load_maker(trained, flip, processes.machine(on), quicken=quicken)
        if parts is None:
            return embed_together(manifest, maker, report, processes)
        return embed_in_parts(manifest, maker, as_path(parts, "folder of parts"), report, processes=processes)


def embed_share_with(
    run: TrainedModel | str | Path,
    data: Manifest | str | Path,
    parts: str | Path,
    share: Share,
    *,
    flip: bool = False,
    on: Machine | None = None,
    progress: Progress = silent,
    reference: bool = False,
) -> str:
    """Embeds a share of a large source's pictures into a folder of parts; says how many parts that are.

    Machines that start by themselves each make a share, and then `embed_with` with this folder joins them.

    Args:
        run: as in `embed_with`, and so are the others.
        data: a manifest, or a source such as `veri776:PATH`.
        parts: the folder, which all of them see.
        share: which parts.
        flip: average each embedding with that of the mirrored picture.
        on: the machine.
        progress: is told how far the work is.
        reference: run a trained network by torch in float32.

    Raises:
        SamecarError: the set is too small to have parts, or whatever `embed_with` refuses.
    """
    trained, manifest = as_model(run), as_manifest(data)
    quicken = not reference and len(manifest) >= MANY
    maker = _load_maker(trained, flip, on or machine(), quicken=quicken)
    return embed_share(manifest, maker, as_path(parts, "folder of parts"), share, progress)


def _load_maker(trained: TrainedModel, flip: bool, on: Machine, *, quicken: bool) -> Maker:
    """What embeds pictures with a model, which it loads once."""
    made_by = FLIPPED if flip else ""
    if isinstance(trained, ExportedModel):
        encoder = bound_model(trained, on=on)
        return Maker(
            encoder.digest + made_by,
            encoder.runtime.name,
            lambda manifest, report: _refuse_infinite(
                encoder.embed_manifest(manifest, workers=on.workers, flip=flip, progress=report)
            ),
        )
    with naming_extra("a model that is not exported needs"):
        from samecar.embedding.networks import embed, find_way, name_runtime

    model, model_digest = trained.load_model().to(on.device), trained.model_digest()
    way = find_way(model) if quicken else None
    return Maker(
        model_digest + made_by,
        name_runtime(model, way),
        lambda manifest, report: _refuse_infinite(
            embed(model, manifest, model_digest=model_digest, workers=on.workers, flip=flip, progress=report, way=way)
        ),
    )


def _refuse_infinite(embeddings: Embeddings) -> Embeddings:
    """Gives embeddings that are all of finite numbers."""
    wrong = np.flatnonzero(~np.isfinite(embeddings.matrix).all(axis=1))
    if len(wrong):
        raise SamecarError(
            f"the model gives numbers that are not finite for {len(wrong):,} of {len(embeddings):,} pictures, such as "
            f"{embeddings.manifest.path[wrong[0]]}; its weights are damaged or its training has failed: train or "
            "export it again"
        )
    return embeddings


def _identify_embedding(trained: TrainedModel, flip: bool, on: Machine) -> str:
    """Of all that decides a reference embedding besides the picture: changes with any of it."""
    described = "" if isinstance(trained, ExportedModel) else _describe_network(trained)
    runner: str = trained.facts.runner if isinstance(trained, ExportedModel) else "torch"
    with naming_extra("a model that is not exported needs"):
        version: str = import_module(runner).__version__  # the library's own: it may be installed under other names
    return digest([described, trained.model_digest(), flip, runner, version, on.name])


def _describe_network(trained: TorchModel) -> str:
    """What a network is built from, besides its tensors: of a run its recipe says more than the model's own file."""
    own = (find_model(trained.folder) / DESCRIPTION_FILE).read_text(encoding="utf-8")
    return own + trained.model_settings.model_dump_json() if isinstance(trained, Run) else own


def bound_model(run: TrainedModel | str | Path, *, on: Machine | None = None) -> Encoder:
    """The encoder of the model that a run ended with, for a gallery to be bound to; its digest is the run's.

    Raises:
        SamecarError: the run has not ended.
    """
    return open_encoder(as_model(run), (on or machine()).name)


def describe_side(model: TrainedModel, manifest: Manifest) -> str:
    """What a model was told of the pictures besides, and of how many of them that is known to it."""
    settings = model.model_settings if isinstance(model, Run) else None
    if settings is None or settings.side_information == "none":
        return "none"
    columns = {"camera": (manifest.camera_id, settings.side_cameras), "view": (manifest.view, settings.side_views)}
    told = []
    for kind in settings.side_information.split("+"):
        names, known = columns[kind]
        told.append(f"{kind} labels at test time ({int(np.isin(names, known).sum()):,} of {len(names):,} known)")
    return ", ".join(told)
