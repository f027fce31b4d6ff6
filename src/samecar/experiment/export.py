"""From a trained model to one file that other runtimes read, which is written only if it does what torch does."""

import math
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from samecar.data import Manifest, as_manifest
from samecar.data.pictures import read_picture
from samecar.embedding.encoder import Encoder
from samecar.embedding.exported import FORMAT, ExportFacts, Precision, Runner
from samecar.embedding.exporting import BATCHES, lowest_cosine, quantise, sample_pictures, write_facts, write_onnx
from samecar.errors import SamecarError
from samecar.evaluation.test_sets import of_test, protocol_of, refuse_unscorable
from samecar.experiment.composite import TrainedModel, as_model, with_network
from samecar.experiment.evaluate import score_splits
from samecar.experiment.model_facts import facts_of_files, facts_of_model
from samecar.experiment.train import train_pictures
from samecar.files import as_path, write_file
from samecar.hardware import Machine, machine
from samecar.models.folders import EXPORTED_FILE, EXPORTED_SUFFIX, is_exported
from samecar.models.layers.side_information import refuse_side_information
from samecar.preprocessing import Pixels
from samecar.progress import Progress, show_progress, silent
from samecar.retrieval.gallery import Gallery
from samecar.training import Run
from samecar.version import __version__

Format = Literal["onnx", "openvino"]
"""What a file is for: ONNX for onnxruntime, which every installation has, or the same for OpenVINO to run."""

RUNNERS: dict[Format, Runner] = {"onnx": "onnxruntime", "openvino": "openvino"}
"""What runs a file of each kind, and compares it with torch."""

COSINES: dict[Precision, float] = {"fp32": 0.9999, "bf16": 0.99, "int8": 0.9}
"""The lowest cosine with torch that is allowed where nothing else is said."""

CALIBRATION_PICTURES = 256
"""Train pictures that int8 is calibrated on; more change little."""

MEASURED_SECONDS = 4.0
"""For so long torch and the file are timed by turns, or for two batches each."""


class Speed(NamedTuple):
    """Pictures a second, in batches of 32, without reading them."""

    before: float
    after: float


@dataclass(frozen=True)
class Export:
    """A file that was written, and how it compares with the model that it was made of.

    Attributes:
        path: of the file.
        digest: of its content; what its embeddings are known by.
        precision: numbers that its layers compute with.
        runner: the library that runs it.
        cosine: lowest between an embedding by torch and by the file.
        needed: what it had to be.
        speed: pictures a second by torch and by the file.
        mean_average_precisions: by torch and by the file, by cosine; None without data.
        data: which pictures were compared.
    """

    path: Path
    digest: str
    precision: Precision
    runner: Runner
    cosine: float
    needed: float
    speed: Speed
    mean_average_precisions: tuple[float, float] | None
    data: str

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        scores = self.mean_average_precisions
        return {
            "path": str(self.path),
            "model": self.digest,
            "precision": self.precision,
            "runner": self.runner,
            "cosine": {"lowest": self.cosine, "needed": self.needed},
            "pictures_a_second": self.speed._asdict(),
            "mAP": None if scores is None else dict(zip(Speed._fields, scores, strict=True)),
            "data": self.data,
        }


def export(
    run: TrainedModel | Gallery | str | Path,
    out: str | Path,
    *,
    format: Format = "onnx",  # noqa: A002
    precision: Precision = "fp32",
    data: Manifest | str | Path | None = None,
    cosine: float | None = None,
    tolerance: float = 0.2,
    on: Machine | None = None,
    progress: Progress | bool | None = silent,
) -> Export:
    """Writes a model as one file that takes pictures as they are and gives embeddings of length one.

        >>> samecar.export("runs/first", "first.onnx", data="veri776:VeRi").cosine
        0.9999999

    Nothing is written unless the file gives what torch gives: by cosine in batches of 1, 3 and 32, and with data also
    by mAP.

    Args:
        run: a finished run, a fused or reduced model, its folder, or a gallery whose model is meant.
        out: file to write, which ends in .onnx.
        format: onnx is run by onnxruntime, openvino by OpenVINO, which makes more of processors with units for bf16 or
            int8; either is an ONNX file.
        precision: numbers that its layers compute with: fp32; bf16, for openvino alone, on processors that have it; or
            int8, which needs data to be calibrated on.
        data: a manifest, or a source such as `veri776:PATH`, to compare mAP on; int8 is calibrated on its train
            pictures.
        cosine: lowest cosine with torch that is allowed; default: 0.9999 for fp32, 0.99 for bf16, 0.9 for int8.
        tolerance: points of mAP that may be lost.
        on: the machine.
        progress: True shows bars; a function is told how far the work is.

    Raises:
        SamecarError: the model cannot be exported or does not agree with the file, the data cannot be scored, an option
            is not allowed, or a library is missing.
    """
    out = as_path(out, "out")
    needed = _check_options(out, format, precision, cosine, tolerance, data)
    on = on or machine()
    manifest = None if data is None else as_manifest(data)
    source = _open_source(run, on)
    if manifest is not None:
        refuse_unscorable(manifest, protocol_of(manifest))
    with write_file(out) as temporary, show_progress(progress) as report:
        _write(source, temporary, format, precision, manifest, report)
        made = Encoder({EXPORTED_FILE: temporary.read_bytes()}, "cpu")
        compared = _compared_pictures(made, manifest)
        found = lowest_cosine(source.encoder, made, compared)
        if not found >= needed:
            raise SamecarError(
                f"{out} is not written: an embedding of it has cosine {found:.6f} with that of torch, and cosine is "
                f"{needed:g}; give another precision, or allow less if that is enough for you"
            )
        scores = None if manifest is None else _compare_scores(source.encoder, made, manifest, on, report)
        if scores is not None and not 100 * (scores[0] - scores[1]) <= tolerance:
            raise SamecarError(
                f"{out} is not written: its mAP is {100 * scores[1]:.2f} and that of torch {100 * scores[0]:.2f}, and "
                f"tolerance is {tolerance:g} points; give another precision, or allow more if that is enough for you"
            )
        speed = _measure_speed(source.encoder, made, compared)
    words = "made-up pictures" if manifest is None else manifest.name
    return Export(out, made.digest, precision, RUNNERS[format], found, needed, speed, scores, words)


def _check_options(out: Path, kind: str, precision: str, cosine: float | None, tolerance: float, data: object) -> float:
    """Checks options before there is work to lose; gives the lowest cosine that is allowed."""
    if kind not in RUNNERS:
        raise SamecarError(f"format is {kind!r}; it can be {' or '.join(RUNNERS)}")
    if not is_exported(out):
        raise SamecarError(f"out is {str(out)!r}; an exported model ends in {EXPORTED_SUFFIX}")
    if precision not in COSINES:
        raise SamecarError(f"precision is {precision!r}; it can be {' or '.join(COSINES)}")
    if precision == "bf16" and kind != "openvino":
        raise SamecarError("precision is 'bf16', which onnxruntime does not compute with here; give format openvino")
    if precision == "int8" and data is None:
        raise SamecarError("precision is 'int8', which is calibrated on train pictures; give their source as data")
    if cosine is not None and not 0 < cosine <= 1:
        raise SamecarError(f"cosine is {cosine}; give a number above 0 and at most 1")
    if not 0 <= tolerance <= 100:
        raise SamecarError(f"tolerance is {tolerance}; give points of mAP from 0 to 100")
    return COSINES[precision] if cosine is None else cosine


class _Source(NamedTuple):
    """A model that is exported."""

    encoder: Encoder
    known: dict[str, Any]  # what is known of its training, by the names of `ExportFacts`


def _open_source(run: TrainedModel | Gallery | str | Path, on: Machine) -> _Source:
    if isinstance(run, Gallery):
        encoder = run.model
        return _Source(encoder, facts_of_files(encoder))
    model = with_network(as_model(run))
    if isinstance(model, Run):
        refuse_side_information(model.model_settings, "an exported file")
    encoder = Encoder.open(model, device=on.device)
    return _Source(encoder, facts_of_model(model))


def _write(
    source: _Source, path: Path, kind: Format, precision: Precision, manifest: Manifest | None, report: Progress
) -> None:
    """Writes the file, with its facts."""
    network = source.encoder.runtime.network
    report("exporting", 0, 2 if precision == "int8" else 1)
    write_onnx(network, path)
    calibrated_on = None
    if precision == "int8":
        assert manifest is not None
        report("exporting", 1, 2)
        chosen = _draw_evenly(train_pictures(manifest), CALIBRATION_PICTURES)
        quantised = path.with_suffix(".int8.onnx")
        quantise(path, quantised, _read_pictures(source.encoder, chosen))
        quantised.replace(path)
        calibrated_on = f"{len(chosen):,} train pictures of {manifest.name}"
    report("exporting", 2, 2)
    facts = ExportFacts(
        format=1 if kind == "onnx" else FORMAT,
        runner=RUNNERS[kind],
        samecar=__version__,
        torch=torch.__version__,
        model=source.encoder.digest,
        precision=precision,
        calibrated_on=calibrated_on,
        preprocessing=network.preprocessing,
        embedding_size=network.embedding_size,
        **source.known,
    )
    write_facts(path, facts)


def _compared_pictures(encoder: Encoder, manifest: Manifest | None) -> list[Pixels]:
    """As many pictures as are compared, of the data where there are any."""
    wanted = sum(BATCHES)
    if manifest is None:
        return sample_pictures(encoder.preprocessing, wanted)
    pictures = _read_pictures(encoder, _draw_evenly(of_test(manifest), wanted))
    return [pictures[place % len(pictures)] for place in range(wanted)]


def _read_pictures(encoder: Encoder, manifest: Manifest) -> list[Pixels]:
    size = encoder.preprocessing.decoded_size
    return [encoder.prepare(read_picture(manifest.absolute_path(row), size)) for row in range(len(manifest))]


def _draw_evenly(manifest: Manifest, most: int) -> Manifest:
    """Up to so many pictures, from the first to the last at even distances."""
    return manifest.select(np.unique(np.linspace(0, len(manifest) - 1, most).round().astype(np.int64)))


def _compare_scores(
    before: Encoder, after: Encoder, manifest: Manifest, on: Machine, report: Progress
) -> tuple[float, float]:
    """The mAP of a source's queries in its gallery by two encoders, by cosine."""
    test, protocol = of_test(manifest), protocol_of(manifest)
    first, second = (
        score_splits(
            encoder.embed_manifest(test, workers=on.workers, progress=report), protocol, distance="cosine"
        ).mean_average_precision
        for encoder in (before, after)
    )
    return first, second


def _measure_speed(before: Encoder, after: Encoder, pictures: list[Pixels]) -> Speed:
    """Pictures a second of two encoders, by turns; of each its quickest batch, as other work slows some of them."""
    batch = pictures[: max(BATCHES)]
    quickest = {encoder.digest: math.inf for encoder in (before, after)}
    began = time.perf_counter()
    for turn in count():
        if turn > 1 and time.perf_counter() - began > MEASURED_SECONDS:
            break
        for encoder in (before, after):
            start = time.perf_counter()
            encoder.embed_prepared(batch)
            quickest[encoder.digest] = min(quickest[encoder.digest], time.perf_counter() - start)
    return Speed(*(len(batch) / quickest[encoder.digest] for encoder in (before, after)))
