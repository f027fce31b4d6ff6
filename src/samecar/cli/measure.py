"""The commands that measure: evaluate, embed, score, compare-runs, calibrate and compare."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Count, Device, Engine, Json, Place, RunFolder, Source, Stated, gallery_words, open_model
from samecar.cli.settings import OptionsOf, Spelling, name_option
from samecar.errors import SamecarError
from samecar.numerals import read_number, read_whole_number

if TYPE_CHECKING:
    from samecar.calibration.options import CalibrationOptions
    from samecar.evaluation import Options
    from samecar.similarity.counting import Work
    from samecar.similarity.products import Distance
    from samecar.similarity.reranking import KReciprocal


def _distance(name: str) -> "Distance":
    from samecar.similarity.distances import find_distance

    return find_distance(name)


def _interpolation(name: str) -> str:
    from samecar.evaluation.metrics import find_interpolation

    return find_interpolation(name)


def _ranks(text: str) -> tuple[int, ...]:
    try:
        return tuple(read_whole_number(part) for part in text.split(","))
    except ValueError:
        raise SamecarError(f"--cmc is {text!r}; give whole numbers, such as 1,5,10") from None


def _k_reciprocal(text: str) -> "KReciprocal":
    from samecar.similarity.reranking import KReciprocal

    try:
        k1, k2, lambda_value = text.split(",")
        numbers = read_whole_number(k1), read_whole_number(k2), read_number(lambda_value)
    except ValueError:
        raise SamecarError(f"--rerank is {text!r}; give k1, k2 and lambda, such as 20,6,0.3") from None
    return KReciprocal(*numbers)


def _query_expansion(count: int) -> Any:
    from samecar.similarity.expansion import AverageQueryExpansion

    return AverageQueryExpansion(count)


def _database_augmentation(count: int) -> Any:
    from samecar.similarity.expansion import DatabaseAugmentation

    return DatabaseAugmentation(count)


OLD_NAMES = {"--metric": "--distance"}
"""What options of scoring were once called."""

Protocol = Annotated[
    str | None, typer.Option(help="rules of scoring; default: those of the source, plain where it has none of its own")
]
Junk = Annotated[
    str | None, typer.Option(help="same-camera: pictures of the query's vehicle by its camera are left out; or none")
]
Scoring = Annotated[
    "Options",
    OptionsOf(
        "samecar.evaluation.options:Options",
        {
            "ranks": Spelling("--cmc", str, _ranks, lambda ranks: ",".join(map(str, ranks))),
            "interpolation": Spelling(kind=str, read=_interpolation),
            "rerank": Spelling(kind=str, read=_k_reciprocal, metavar="K1,K2,LAMBDA"),
            "query_expansion": Spelling(kind=int, read=_query_expansion, metavar="N"),
            "database_augmentation": Spelling(kind=int, read=_database_augmentation, metavar="N"),
        },
        without=("work",),
    ),
]
PRECISION = Spelling(
    "--float64", bool, lambda wanted: "float64" if wanted else "float32", lambda name: name == "float64"
)
ScoringWork = Annotated[
    "Work", OptionsOf("samecar.similarity.counting:Work", {"precision": PRECISION}, only=("precision", "device"))
]
Precision = Annotated[
    "Work", OptionsOf("samecar.similarity.counting:Work", {"precision": PRECISION}, only=("precision",))
]
Flip = Annotated[bool, typer.Option("--flip", help="average each embedding with that of the mirrored picture")]
DistanceOption = Annotated[
    dict[str, Any],
    OptionsOf(
        "samecar.similarity.distances:nearest",
        {"distance": Spelling(kind=str, read=_distance)},
        only=("distance",),
    ),
]

RunDistance = Annotated[
    dict[str, Any],
    OptionsOf(
        "samecar.experiment.evaluate:evaluate",
        {"distance": Spelling(kind=str, read=_distance)},
        only=("distance",),
        only_given=True,
        show_defaults=False,
    ),
]


@examples(
    "samecar evaluate runs/first --data veri776:VeRi",
    "samecar evaluate runs/first --data veri776:VeRi --distance cosine --rerank 20,6,0.3",
)
def evaluate(
    run: RunFolder,
    source: Source,
    options: Scoring,
    precision: Precision,
    distance: RunDistance,
    on: Place,
    flip: Flip = False,
    preprocessing: Stated = None,
    protocol: Protocol = None,
    junk: Junk = None,
    json: Json = False,
    processes: Count = None,
) -> None:
    """Scores a trained model on a source's query and gallery pictures, and writes report.html."""
    from samecar.evaluation import find_protocol, with_junk
    from samecar.evaluation.test_sets import protocol_of
    from samecar.experiment.evaluate import evaluate as evaluate_run
    from samecar.experiment.evaluate import trained_vehicles
    from samecar.hardware import machine, name_device

    opened = open_model(run, preprocessing)
    rules = name_option("--protocol", find_protocol, protocol) if protocol else None
    place = machine(**on)
    with console.several(processes, place) as mine:
        if mine is None:
            return
        manifest = console.open_aloud(source)
        trained = trained_vehicles(opened, manifest)
        if trained:
            console.warn(
                f"{trained} test vehicles are called as vehicles that {run} was trained on; if they are the same ones, "
                "the scores say nothing about vehicles never seen"
            )
        with console.progress_bars() as progress:
            evaluation = evaluate_run(
                opened,
                manifest,
                protocol=name_option("--junk", partial(with_junk, rules or protocol_of(manifest)), junk),
                options=replace(options, work=replace(precision, device=name_device(mine.machine(place).name))),
                flip=flip,
                on=place,
                progress=progress,
                **distance,
            )
        if not mine.first:
            return
        if json:
            console.print_json(evaluation.as_dict())
        else:
            console.print_evaluation(evaluation)
            console.print_details(evaluation)
            console.say(f"Open the report: {opened.folder / 'report.html'}")


@examples(
    "samecar embed runs/first folder:crops -o crops.npz",
    "samecar embed runs/first folder:crops -o crops.npy",
)
def embed(
    run: RunFolder,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="pictures, as NAME:PATH")],
    out: Annotated[Path, typer.Option("-o", "--out", help=".npz file to write, or .npy with a .csv beside it")],
    on: Place,
    flip: Flip = False,
    preprocessing: Stated = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="run a trained network by torch in float32, not by the quickest that agrees"),
    ] = False,
    processes: Count = None,
    part: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="make the I-th of N shares of OUT.parts only; without --part all are joined"),
    ] = None,
) -> None:
    """Embeds every picture of a source with a trained model.

    Embeddings of more than 4,096 pictures are kept in OUT.parts on the way: stopped and typed again, it goes on there.
    """
    from samecar.embedding.embeddings import refuse_name
    from samecar.embedding.npy import refuse_other_table
    from samecar.embedding.parts import Share, keep_parts_beside, parts_beside
    from samecar.experiment.embed import embed_share_with, embed_with
    from samecar.hardware import machine

    refuse_name(out)
    opened, place = open_model(run, preprocessing), machine(**on)
    if part is not None:
        if processes is not None:
            raise SamecarError("--part is for machines that start by themselves; give it or --processes, not both")
        share = Share.read(part)
        manifest = console.open_aloud(source)
        with console.progress_bars() as progress:
            made = embed_share_with(
                opened,
                manifest,
                parts_beside(out),
                share,
                flip=flip,
                on=place,
                progress=progress,
                reference=reference,
            )
        console.say(f"{parts_beside(out)}: {made} are made; when all are, the same command without --part joins them")
        return
    with console.several(processes, place) as mine:
        if mine is None:
            return
        manifest = console.open_aloud(source)
        if out.suffix == ".npy":
            refuse_other_table(out, manifest)
        with keep_parts_beside(out) if mine.first else nullcontext(parts_beside(out)) as parts:
            with console.progress_bars() as progress:
                embeddings = embed_with(
                    opened,
                    manifest,
                    flip=flip,
                    on=place,
                    progress=progress,
                    parts=parts,
                    reference=reference,
                )
            if not mine.first:
                return
            embeddings.save(out)
        rows, size = embeddings.matrix.shape
        console.say(f"{out}: {rows} embeddings of {size} numbers, model {embeddings.model}")


@examples(
    "samecar score --query query.npz --gallery gallery.npz -o scores.json",
    "samecar score --query query.npz --gallery gallery.npz --query-expansion 3 -o expanded.json",
)
def score(
    query: Annotated[Path, typer.Option(help=".npz of the queries' embeddings, or a manifest beside a .npy")],
    gallery: Annotated[Path, typer.Option(help="the same of the gallery; may be the same file if it tells splits")],
    options: Scoring,
    work: ScoringWork,
    distance: DistanceOption,
    seed: Annotated[dict[str, Any], OptionsOf("samecar.evaluation.scoring:score", only=("seed",))],
    protocol: Protocol = None,
    junk: Junk = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help=".json to write, for `samecar compare-runs`")] = None,
    json: Json = False,
) -> None:
    """Scores embeddings from anywhere under a declared protocol."""
    from samecar.data.spelling import spelling_warning
    from samecar.embedding.reading import read_split
    from samecar.evaluation import default_protocol, find_protocol, with_junk
    from samecar.evaluation import score as score_embeddings
    from samecar.evaluation.records import save_evaluation
    from samecar.evaluation.results import provenance_of
    from samecar.hardware import name_device

    rules = name_option("--protocol", find_protocol, protocol) if protocol else default_protocol("embeddings")
    rules = name_option("--junk", partial(with_junk, rules), junk)
    chosen = replace(options, work=replace(work, device=name_device(work.device)))
    sides = read_split(query, "query"), read_split(gallery, "gallery")
    for column, kind in (("camera_id", "cameras"), ("vehicle_id", "vehicles")):
        for warning in spelling_warning(chain(*(getattr(side.labels, column) for side in sides)), kind):
            console.warn(warning)
    evaluation = score_embeddings(
        *sides,
        rules,
        distance=distance["distance"],
        seed=seed["seed"],
        provenance=provenance_of((query, gallery), sides),
        options=chosen,
    )
    if out is not None:
        save_evaluation(evaluation, out)
    if json:
        console.print_json(evaluation.as_dict())
    else:
        console.print_evaluation(evaluation)
        console.print_details(evaluation)


@examples("samecar compare-runs runs/first runs/second", "samecar compare-runs scores.json expanded.json")
def compare_runs(
    first: Annotated[Path, typer.Argument(metavar="A", help="run folder, or .json of scores")],
    second: Annotated[Path, typer.Argument(metavar="B", help="another")],
    seed: Annotated[dict[str, Any], OptionsOf("samecar.uncertainty:compare", only=("seed",))],
    json: Json = False,
) -> None:
    """Says whether two runs differ by more than chance, query by query."""
    from samecar.evaluation.records import compare_runs as compare

    comparisons = compare(first, second, **seed)
    if json:
        console.print_json({"comparisons": [comparison.as_dict() for comparison in comparisons]})
    else:
        for comparison in comparisons:
            console.print_comparison(comparison)


@examples(
    "samecar calibrate runs/first --data veri776:VeRi",
    "samecar calibrate runs/first --data veri776:VeRi --method logistic",
)
def calibrate(
    run: RunFolder,
    source: Source,
    options: Annotated["CalibrationOptions", OptionsOf("samecar.calibration.options:CalibrationOptions")],
    on: Place,
    json: Json = False,
    processes: Count = None,
) -> None:
    """Learns which similarity means the same vehicle, and which one that it is in a gallery at all."""
    from samecar.experiment.calibrate import calibrate as calibrate_run
    from samecar.experiment.composite import as_model
    from samecar.hardware import machine
    from samecar.report.figures.pairs import calibration_figure
    from samecar.report.figures.style import save_figure
    from samecar.retrieval.gallery import CALIBRATION_FILE

    opened = as_model(run)
    place = machine(**on)
    with console.several(processes, place) as mine:
        if mine is None:
            return
        manifest = console.open_aloud(source)
        with console.progress_bars() as progress:
            calibrated = calibrate_run(opened, manifest, options, on=place, progress=progress)
        if not mine.first:
            return
        figure = calibration_figure(*calibrated, title=f"Calibration: {run.resolve().name}")
        pictures = save_figure(figure, opened.folder / Path(CALIBRATION_FILE).stem)
        if json:
            console.print_json(calibrated.calibration.model_dump(mode="json"))
            return
        console.print_calibration(calibrated.calibration)
        console.say(f"Written: {opened.folder / CALIBRATION_FILE}, {', '.join(str(path) for path in pictures)}")


@examples("samecar compare a.jpg b.jpg --run runs/first", "samecar compare a.jpg b.jpg --gallery garage --json")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="a picture of a vehicle")],
    second: Annotated[Path, typer.Argument(metavar="B", help="another")],
    device: Device,
    run: Annotated[Path | None, typer.Option(metavar="RUN", help="run, or exported model, that compares")] = None,
    gallery: Annotated[
        str | None, typer.Option(metavar="GALLERY", help="gallery whose model compares, instead of --run")
    ] = None,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Says how similar two pictures are, and how likely it is that they show the same vehicle."""
    from samecar.experiment.compare import compare as compare_pictures
    from samecar.experiment.compare import compare_under
    from samecar.hardware import machine

    if run is not None and gallery is None:
        likeness = compare_pictures(first, second, run, on=machine(**device))
        mending = f"make one with `samecar calibrate {run} --data SOURCE`"
    elif gallery is not None and run is None:
        from samecar.retrieval.gallery import Gallery

        with Gallery.open(gallery, engine=engine, **device) as opened:
            likeness = compare_under(opened.model, opened.calibration, first, second)
        mending = f"give it that of its run with `samecar gallery calibrate {gallery_words(gallery, engine)} --run RUN`"
    else:
        raise SamecarError("give --run or --gallery, one of the two, to say whose model compares")
    if json:
        console.print_json(asdict(likeness))
    else:
        console.print_likeness(likeness, mending)
