"""Options that are made from the library's settings: their words, their defaults, and what is said of wrong values."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
import typer
from command_line import done, refused, run
from pydantic import BaseModel, Field
from typer.main import get_command

from samecar.cli.commands import EXAMPLES, add_command
from samecar.cli.main import app
from samecar.cli.settings import OptionsOf, Spelling, documented, library_settings
from samecar.errors import SamecarError

ONLY_OF_THE_SHELL = {("split", "held_out"), ("copy", "index"), ("features", "recipe"), ("add", "camera")}
"""Parameters with a default that the library has none for; beside them only `out` names a file by default."""


class Kettle(BaseModel):
    """A kettle.

    Attributes:
        litres: that it
            holds.
        lid: open or shut.
    """

    litres: float = Field(1.5, gt=0, le=3)
    lid: Literal["open", "shut"] = "shut"
    cups: int = Field(4, ge=1, description="to fill")
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pot:
    """A pot.

    Attributes:
        size: in centimetres.
    """

    size: int = 20

    def __post_init__(self):
        if self.size < 1:
            raise SamecarError(f"size is {self.size}; give 1 or more")


def pour(cup: str, *, times: int = 2, hot: bool = False) -> None:
    """Pours.

    Args:
        cup: to fill.
        times: how often.
        hot: with steam
    """


def commands(group, before=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS = dict(commands(get_command(app)))


def params(*name):
    """The arguments and options of a command."""
    COMMANDS[name].make_options()
    return COMMANDS[name].params


def marked(function):
    """The markers of a command's parameters."""
    for parameter in inspect.signature(function).parameters.values():
        yield from (part for part in get_args(parameter.annotation) if isinstance(part, OptionsOf))


def made(function):
    """Runs a command made of a function, as the command line does."""
    kitchen = typer.Typer()
    add_command(kitchen, function)
    add_command(kitchen, lambda: None, "other")
    return lambda *words: get_command(kitchen)([function.__name__, *words], standalone_mode=False)


def test_words_come_from_descriptions_and_docstrings():
    kettle = {setting.name: setting.words for setting in library_settings(Kettle)}
    assert kettle == {"litres": "that it holds", "lid": "open or shut", "cups": "to fill", "names": ""}
    assert [(setting.name, setting.default) for setting in library_settings(Pot)] == [("size", 20)]
    assert documented(pour) == {"cup": "to fill", "times": "how often", "hot": "with steam"}
    assert [(setting.name, setting.default) for setting in library_settings(pour)] == [("times", 2), ("hot", False)]


def test_a_setting_without_words_or_of_another_name_is_an_error_of_ours():
    for marker in (OptionsOf(f"{__name__}:Kettle"), OptionsOf(f"{__name__}:Pot", only=("sise",))):
        with pytest.raises(LookupError, match=r"names|sise"):
            marker.settings()


def test_a_command_gets_one_value_for_all_options_of_a_class():
    got = []

    def cook(
        kettle: Annotated[Kettle, OptionsOf(f"{__name__}:Kettle", {"cups": "--mugs"}, without=("names",))],
        pouring: Annotated[dict[str, Any], OptionsOf(f"{__name__}:pour")],
        name: str = "",
    ) -> None:
        """Cooks."""
        got.append((kettle, pouring, name))

    call = made(cook)
    call("--mugs", "2", "--hot")
    call("--lid", "open", "--times", "3")
    assert got == [
        (Kettle(cups=2), {"times": 2, "hot": True}, ""),
        (Kettle(lid="open"), {"times": 3, "hot": False}, ""),
    ]
    for words, sentence in {
        ("--litres", "4"): "--litres is 4.0; give more than 0 and at most 3",
        ("--mugs", "0"): "--mugs is 0; give 1 or more",
        ("--lid", "ajar"): "--lid is 'ajar'; give open or shut",
    }.items():
        with pytest.raises(SamecarError) as refusal:
            call(*words)
        assert str(refusal.value) == sentence


def test_a_value_may_be_written_otherwise_in_the_shell():
    got = []

    def half(text: str) -> int:
        if not text.endswith("m"):
            raise SamecarError("write metres, such as 0.2m")
        return round(100 * float(text[:-1]))

    def cook(
        pot: Annotated[
            Pot,
            OptionsOf(f"{__name__}:Pot", {"size": Spelling("--wide", str, half, lambda size: f"{size / 100}m")}),
        ],
    ) -> None:
        """Cooks."""
        got.append(pot)

    call = made(cook)
    call()
    call("--wide", "0.3m")
    assert got == [Pot(), Pot(30)]
    for word, sentence in {"30": "--wide: write metres, such as 0.2m", "0m": "--wide is 0; give 1 or more"}.items():
        with pytest.raises(SamecarError) as refusal:
            call("--wide", word)
        assert str(refusal.value) == sentence


def test_no_default_stands_twice():
    """A default of a command's own is none of the library's; the others are read from the library."""
    own = {
        (function.__name__, parameter.name): parameter.default
        for function in EXAMPLES
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default not in (inspect.Parameter.empty, None, False)
    }
    twice = {place: default for place, default in own.items() if place[1] != "out" and place not in ONLY_OF_THE_SHELL}
    assert twice == {}
    assert all(isinstance(default, Path) for (_, name), default in own.items() if name == "out")


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_options_show_the_librarys_defaults(name):
    command = COMMANDS[name]
    shown = {param.name: param for param in params(*name)}
    for marker in marked(command.function):
        for setting in marker.settings():
            show = marker.spelling(setting.name).show or (lambda value: value)
            expected = None if marker.only_given else show(setting.default)
            assert (shown[setting.name].default or None) == (expected or None)
            assert setting.words in shown[setting.name].help


def test_what_the_shell_could_not_reach_of_a_service_are_options():
    names = {option for param in params("serve") for option in param.opts}
    assert names >= {
        *("--burst", "--connections", "--head-seconds", "--batch"),
        *("--upload-seconds", "--unread-seconds", "--shutdown-seconds"),
    }
    assert names >= {
        "--max-bytes",
        "--max-pixels",
        "--max-top",
        "--host-name",
        "--proxy",
        "--read-only",
        "--token-file",
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["serve", "garage", "--port", 70000], "--port is 70000; give 0 or more and at most 65535"),
        (["serve", "garage", "--max-bytes", 0], "--max-bytes is 0; give 1 or more"),
        (["serve", "garage", "--head-seconds", 0], "--head-seconds is 0.0; give more than 0"),
        (["reproduce", "--list", "--epochs", 0], "--epochs is 0; give 1 or more"),
        (["draw", "new", "--vehicles", 1], "--vehicles is 1; choose a number from 4 to 9999."),
        (
            ["draw", "new", "--names", "VeRi", "--cameras", 3],
            "--cameras 3 has no say beside --names, whose lists tell what is drawn; leave --cameras out",
        ),
        (
            ["score", "--query", "q.npz", "--gallery", "g.npz", "--cmc", "0,5"],
            "--cmc is 0,5; give ranks from 1, such as 1,5,10",
        ),
        (
            ["score", "--query", "q.npz", "--gallery", "g.npz", "--query-expansion", 0],
            "--query-expansion: average query expansion was given count 0; give a whole number from 1",
        ),
    ],
)
def test_a_wrong_value_is_told_with_the_option_as_it_is_typed(words, sentence):
    assert refused(*words) == sentence


def test_metric_is_an_old_name_of_distance_that_is_not_shown(tmp_path):
    for command in (["evaluate", tmp_path, "--data", "x"], ["plot", "distances", tmp_path, "--data", "x"]):
        said = [refused(*command, *words) for words in (["--distance", "l2"], ["--metric", "l2"], ["--metric=l2"])]
        assert said == ["--distance: unknown distance 'l2'; known are euclidean, cosine"] * 3
    for command in (["evaluate"], ["score"], ["plot", "distances"]):
        assert "--metric" not in done(*command, "--help")
    assert "--metric" in done("plot", "curves", "--help")


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_out_is_also_o_and_positional_names_are_in_capitals(name):
    for param in params(*name):
        assert "--out" not in param.opts or "-o" in param.opts
        if param.param_type_name == "argument":
            assert param.metavar.isupper()


def test_what_takes_device_and_workers():
    for name in (("ingest",), ("gallery", "add")):
        names = {option for param in params(*name) for option in param.opts}
        assert names >= {"--device", "--workers"}
    assert "--device" in {option for param in params("compare") for option in param.opts}
    assert run("gallery", "add", "garage", "crops", "--workers", 0).status == 2
