"""The `samecar calibrate` and `samecar compare` commands."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.options import Device, Engine, Json, Source, Workers, gallery_words
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.calibration import Calibration, MeasuredRate, Method
    from samecar.experiment.calibrate import Likeness


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder of `samecar train`")],
    source: Source,
    method: Annotated[
        str | None, typer.Option(help="isotonic or logistic; default: the better one on vehicles not fitted to")
    ] = None,
    false_alarm_rate: Annotated[
        float, typer.Option(help="share of searches for a vehicle that the gallery lacks that may find it")
    ] = 0.05,
    test_vehicles: Annotated[
        bool, typer.Option("--test-vehicles", help="calibrate on query and gallery pictures")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="of random halves of the vehicles")] = 1,
    json: Json = False,
    device: Device = "auto",
    workers: Workers = None,
) -> None:
    """Learns which similarity means the same vehicle, and which one that it is in a gallery at all."""
    from samecar.experiment.calibrate import calibrate as calibrate_run
    from samecar.hardware import machine
    from samecar.report.figures.pairs import calibration_figure
    from samecar.report.figures.style import save_figure
    from samecar.retrieval.gallery import CALIBRATION_FILE
    from samecar.training import Run

    opened, chosen = Run.open(run), _method(method)
    on = machine(device, workers)
    manifest = console.open_aloud(source)
    with console.progress_bars() as progress:
        calibrated = calibrate_run(
            opened,
            manifest,
            method=chosen,
            false_alarm_rate=false_alarm_rate,
            test_vehicles=test_vehicles,
            seed=seed,
            on=on,
            progress=progress,
        )
    figure = calibration_figure(*calibrated, title=f"Calibration: {run.resolve().name}")
    pictures = save_figure(figure, run / Path(CALIBRATION_FILE).stem)
    if json:
        console.print_json(calibrated.calibration.model_dump(mode="json"))
        return
    _print_calibration(calibrated.calibration)
    console.say(f"Written: {run / CALIBRATION_FILE}, {', '.join(str(path) for path in pictures)}")


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="a picture of a vehicle")],
    second: Annotated[Path, typer.Argument(metavar="B", help="another")],
    run: Annotated[Path | None, typer.Option(help="run folder whose model compares")] = None,
    gallery: Annotated[
        str | None, typer.Option(metavar="GALLERY", help="gallery whose model compares, instead of --run")
    ] = None,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Says how similar two pictures are, and how likely it is that they show the same vehicle."""
    from samecar.experiment.calibrate import compare as compare_pictures
    from samecar.experiment.calibrate import compare_under
    from samecar.training import Run

    if (run is None) == (gallery is None):
        raise SamecarError("give --run or --gallery, one of the two, to say whose model compares")
    if run is not None:
        likeness = compare_pictures(first, second, Run.open(run))
        mending = f"make one with `samecar calibrate {run} --data SOURCE`"
    else:
        from samecar.retrieval.gallery import Gallery

        assert gallery is not None
        with Gallery.open(gallery, engine=engine) as opened:
            likeness = compare_under(opened.model, opened.calibration, first, second)
        mending = f"give it that of its run with `samecar gallery calibrate {gallery_words(gallery, engine)} --run RUN`"
    if json:
        console.print_json(asdict(likeness))
    else:
        _print_likeness(likeness, mending)


def _method(name: str | None) -> "Method | None":
    from samecar.calibration import METHODS

    for known in METHODS:
        if name == known:
            return known
    if name is None:
        return None
    raise SamecarError(f"--method is {name!r}; it can be {' or '.join(METHODS)}")


def _print_calibration(calibration: "Calibration") -> None:
    evidence, quality = calibration.evidence, calibration.quality
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in quality.log_loss.items())
    console.say(
        f"Fitted to {evidence.vehicles:,} vehicles ({evidence.kind}) in {evidence.pictures:,} pictures: "
        f"{evidence.same_pairs:,} pairs of one vehicle and {evidence.different_pairs:,} of two"
    )
    console.say(f"Measured on vehicles that were not fitted to, over {quality.halves} random halves:")
    console.say(
        f"  Same vehicle? {calibration.pairs.method}; log loss {losses} (a coin: 0.693), Brier {quality.brier:.3f}, "
        f"probabilities are off by {quality.calibration_error:.3f} on average"
    )
    console.say(
        f"  From similarity {calibration.same_threshold:.3f} on it is called the same: "
        f"{_percent(quality.true_positive_rate)} of same pairs and {_percent(quality.false_positive_rate)} of "
        "different pairs are"
    )
    console.say(
        f"  In the gallery at all? Stated false alarms {_percent(calibration.false_alarm_rate)}; seen "
        f"{_rate(quality.false_alarm)}"
    )
    console.say(
        f"  of those that are in it, said to be {_rate(quality.detection)}; with the right vehicle first "
        f"{_rate(quality.identification)}"
    )
    console.say(
        f"Thresholds are measured for galleries of up to {calibration.open_set.pictures[-1]:,.0f} pictures; beyond "
        "they are extrapolated"
    )


def _print_likeness(likeness: "Likeness", mending: str) -> None:
    console.say(f"similarity   {likeness.similarity:.3f}")
    if likeness.probability is None:
        console.say(f"There is no calibration, so that no probability can be told; {mending}")
        return
    said = console.probability(likeness.probability)
    console.say(f"probability  {said} that it is the same vehicle, if it was 50 % before")
    threshold = f"{likeness.threshold:.3f}"
    verdict = f"the same vehicle (from {threshold} on)" if likeness.same else f"different vehicles (below {threshold})"
    console.say(f"verdict      {verdict}")


def _rate(measured: "MeasuredRate") -> str:
    interval = ""
    if measured.low is not None and measured.high is not None:
        interval = f" (95 % interval {_percent(measured.low)} to {_percent(measured.high)})"
    return f"{_percent(measured.rate)}{interval} of {measured.queries:,} queries"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
