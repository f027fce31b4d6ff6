"""The command `samecar train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Changes, Count, Place, Quickness, refuse_two_values
from samecar.cli.settings import OptionsOf
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.config import Recipe
    from samecar.data import Manifest
    from samecar.hardware import Machine
    from samecar.processes import Processes
    from samecar.training import Run

Sources = Annotated[
    list[str],
    typer.Option(
        "--data", metavar="SOURCE", help="pictures, as NAME:PATH; given several times, their vehicles are kept apart"
    ),
]
Validation = Annotated[
    dict[str, Any],
    OptionsOf("samecar.config:TrainingSettings", only=("validation",), only_given=True, show_defaults=False),
]
Log = Annotated[
    str | None,
    typer.Option(
        metavar="LOG",
        help="where epochs are told besides metrics.jsonl: tensorboard, mlflow, wandb or trackio, each by its own "
        "environment variables; default: the log of a run that is resumed, else tensorboard",
    ),
]


@examples(
    "samecar train demo --data veri776:VeRi -o runs/first",
    "samecar train --data veri776:VeRi -o runs/chosen",
    'samecar train small-set --data veri776:VeRi --data "folder:crops/{vehicle_id}_{camera_id}.png" -o runs/both',
    "samecar train report-resnet18 --data veri776:VeRi -o runs/second --validation 0.1 --set training.epochs=30",
    "samecar train report-resnet18 --data veri776:VeRi -o runs/third --processes 4",
)
def train(
    sources: Sources,
    out: Annotated[Path, typer.Option("-o", "--out", help="run folder to make")],
    validation: Validation,
    on: Place,
    speed: Quickness,
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]", help="a shipped recipe's name or a TOML file; without one, samecar chooses it"
        ),
    ] = None,
    changes: Changes = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue the run in --out")] = False,
    processes: Count = None,
    log: Log = None,
) -> None:
    """Trains a model; where the source has query and gallery pictures, scores it before and after."""
    from samecar.hardware import machine

    wishes = [*(changes or []), *(f"training.{name}={value}" for name, value in validation.items())]
    refuse_two_values(wishes)
    place = machine(**on, speed=speed)
    with console.interruptible(lambda: _what_training_left(out)), console.several(processes, place) as mine:
        if mine is not None:
            _train(sources, out, recipe, wishes, place, mine, resume=resume, log=log)


def _train(
    sources: list[str],
    out: Path,
    recipe: str | None,
    wishes: list[str],
    place: "Machine",
    processes: "Processes",
    *,
    resume: bool,
    log: str | None,
) -> None:
    """Trains in this process, or in this one of several, and prints how it went."""
    from samecar.evaluation.test_sets import is_test_set
    from samecar.experiment.train import train as train_run
    from samecar.experiment.trial import train_and_evaluate
    from samecar.training.logs import check_log

    if log is not None:
        check_log(log)
    manifest = console.open_aloud(*sources)
    settings = processes.once(lambda: _recipe(recipe, wishes, manifest, place, out if resume else None))
    trial = None
    with console.progress_bars() as progress:
        if is_test_set(manifest):
            trial = train_and_evaluate(settings, manifest, out, resume=resume, on=place, progress=progress, log=log)
            run = trial.run
        else:
            run = train_run(settings, manifest, out, resume=resume, on=place, progress=progress, log=log)
    if not processes.first:
        return
    for sentence in run.unreadable():
        console.warn(f"left out of training: {sentence}")
    if run.weights.get("taken"):
        console.say(f"It began with {run.weights['name']}: {run.weights['taken']}; classifiers began anew.")
    console.say(f"Trained {out}: recipe {settings.digest}, {run.model_facts()['epoch_choice']}")
    if trial is None:
        _say_gain(run)
        console.say("The source has no query and gallery pictures; score the run with `samecar evaluate`.")
        return
    console.print_evaluation(trial.trained, trial.untrained)
    warning = trial.warning()
    if warning:
        console.warn(warning)
    console.say(f"Open the report: {out / 'report.html'}")


def _say_gain(run: "Run") -> None:
    """Prints how held-out vehicles were found before training and at the epoch that was kept."""
    from samecar.experiment.trial import WHAT_TO_TRY

    if not run.untrained:
        return
    before = run.untrained["validation_mAP"]
    after = run.metrics()[run.model_facts()["epoch"] - 1]["validation_mAP"]
    console.say(f"Held-out train vehicles: mAP {100 * before:.1f} before training, {100 * after:.1f} after.")
    if after <= before:
        console.warn(f"training has not helped; try {WHAT_TO_TRY}")


def _recipe(
    name: str | None, wishes: list[str], manifest: "Manifest", place: "Machine", begun: Path | None
) -> "Recipe":
    """The recipe that was named, that a begun run has, or that fits pictures and machine best."""
    from samecar.config import change_recipe, load_recipe
    from samecar.experiment.choosing import choose_recipe
    from samecar.training import Run

    if name is not None:
        return load_recipe(name, wishes)
    if begun is not None:
        return change_recipe(Run.open(begun).recipe, wishes)
    choice = choose_recipe(manifest, wishes, on=place)
    console.say(f"Recipe {choice.name}{''.join(f' --set {change}' for change in choice.changes)}:")
    for reason in choice.reasons:
        console.say(f"  {reason}")
    console.say(f"Training will take {console.duration(choice.seconds)} or so on this machine.")
    return choice.recipe


def _what_training_left(out: Path) -> str:
    """What an interruption of training leaves behind."""
    if (out / "model").is_dir() and not _is_trained_longer(out):
        return f"training had ended and its model is kept; `samecar evaluate {out} --data SOURCE` scores it"
    if any(int(path.name.removeprefix("epoch-")) for path in (out / "checkpoints").glob("epoch-*")):
        return "what was finished is kept, and `--resume` continues a training run"
    if (out / "run.json").is_file():
        return f"no epoch was finished; {out} is begun, and `--resume` goes on with it"
    return "training had not begun, and nothing is kept"


def _is_trained_longer(out: Path) -> bool:
    """Whether the model in a run's folder is of before the run was made longer."""
    from samecar.training import Run

    try:
        Run.open(out).refuse_incomplete()
    except SamecarError:
        return True
    return False
