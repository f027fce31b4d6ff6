"""Options of commands: those that are made from the library's own settings, and those that several commands share.

A setting's default and its words stand once, in the library: in the class or the function that takes it. `OptionsOf`
names that class or function, and the command is handed one value for all of its options. What a command needs to know
of the library is loaded when the command is used, so that the command line starts quickly.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from samecar.cli import console
from samecar.cli.launching import LaunchedError
from samecar.errors import SamecarError
from samecar.processes import SaidElsewhereError

if TYPE_CHECKING:
    from samecar.experiment.composite import TrainedModel
    from samecar.hardware import Speed

BOUNDS = {"ge": "{} or more", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
"""What pydantic calls limits of a number, and how they are told."""

Given = TypeVar("Given")
Made = TypeVar("Made")

PLAIN = (bool, int, float, str, Path)
"""What the shell reads as it is."""

EXAMPLES: dict[Callable[..., None], tuple[str, ...]] = {}
"""Command lines that show how a command is used, by its function."""


@dataclass(frozen=True)
class Spelling:
    """How the shell writes a setting, where that differs from the library.

    Attributes:
        option: its name; by default that of the setting with dashes.
        kind: what the shell reads, where that is no text, number or path in the library.
        read: makes the setting's value of what the shell read.
        show: makes of the library's default what the shell shows as one.
        metavar: what the help shows for the value.
        low: smallest number that is taken, where the library has no limit.
    """

    option: str | None = None
    kind: Any = None
    read: Callable[[Any], Any] | None = None
    show: Callable[[Any], Any] | None = None
    metavar: str | None = None
    low: int | None = None


@dataclass(frozen=True)
class Setting:
    """A setting of the library: an attribute of a settings class, or a parameter of a function with a default."""

    name: str
    kind: Any
    default: Any
    words: str


@dataclass(frozen=True)
class OptionsOf:
    """Marks a parameter of a command that stands for several options.

    Attributes:
        source: 'module:name' of a settings class, of which the command gets an instance, or of a function, of whose
            arguments it gets a dictionary.
        spellings: how the shell writes some of them; a text is an option's name.
        only: settings that become options; none takes all.
        without: settings that do not.
        only_given: the command gets a dictionary of the settings that were given.
        show_defaults: the help shows the library's defaults.
    """

    source: str
    spellings: Mapping[str, Spelling | str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    only_given: bool = False
    show_defaults: bool = True

    def load(self) -> Any:
        """The class or the function."""
        module, _, path = self.source.partition(":")
        found: Any = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return found

    def settings(self) -> list[Setting]:
        """Those that become options, in the library's order.

        Raises:
            LookupError: the library has no setting of such a name, or no words for it.
        """
        known = {setting.name: setting for setting in library_settings(self.load())}
        chosen = [name for name in known if name not in self.without and (not self.only or name in self.only)]
        unknown = {*self.only, *self.without, *self.spellings} - set(known)
        silent = [name for name in chosen if not known[name].words]
        if unknown or silent:
            raise LookupError(f"{self.source} has no setting {sorted(unknown)}, or no words for {silent}")
        return [known[name] for name in chosen]

    def spelling(self, name: str) -> Spelling:
        """How a setting is written."""
        given = self.spellings.get(name, Spelling())
        return Spelling(option=given) if isinstance(given, str) else given

    def option(self, name: str) -> str:
        """The option of a setting."""
        return self.spelling(name).option or f"--{name.replace('_', '-')}"

    def parameter(self, setting: Setting) -> inspect.Parameter:
        """What typer makes the option of."""
        spelling = self.spelling(setting.name)
        kind = spelling.kind or shell_kind(setting.kind)
        known = spelling.show(setting.default) if spelling.show else setting.default
        default = None if self.only_given else known
        several = get_origin(kind) is list
        if several or default is None:
            kind, default = kind | None, default or None
        told = str(known) if self.only_given and known is not None else True
        words = typer.Option(
            self.option(setting.name),
            help=f"{setting.words}; may be given several times" if several else setting.words,
            metavar=spelling.metavar,
            min=spelling.low,
            show_default=told if self.show_defaults else False,
        )
        return inspect.Parameter(
            setting.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, words]
        )

    def value(self, given: Mapping[str, Any]) -> Any:
        """What the command gets for what the shell read.

        Raises:
            SamecarError: something is not allowed; the sentence begins with the setting's name.
        """
        source = self.load()
        kinds = {setting.name: setting.kind for setting in library_settings(source)}
        values = {name: self._read(name, value, kinds[name]) for name, value in given.items()}
        if self.only_given:
            return {name: value for name, value in values.items() if value is not None}
        if not isinstance(source, type):
            return values
        try:
            return source(**values)
        except ValueError as error:
            if not hasattr(error, "errors"):
                raise
            raise SamecarError(_refusal(source, error.errors()[0])) from error

    def _read(self, name: str, value: Any, kind: Any) -> Any:
        read = self.spelling(name).read
        if read is None:
            return tuple(value or ()) if get_origin(kind) is tuple else value
        if value is None and get_origin(self.spelling(name).kind) is not list:
            return None
        return name_option(self.option(name), read, value)


def name_option(option: str, read: Callable[[Given], Made], given: Given) -> Made:
    """Makes something of an option's value.

    Raises:
        SamecarError: it cannot be made; the sentence names the option.
    """
    try:
        return read(given)
    except SamecarError as error:
        raise SamecarError(str(error) if option in str(error) else f"{option}: {error}") from error


def library_settings(source: Any) -> list[Setting]:
    """All settings of a class of pydantic's or of the standard library's, or of a function, with their words.

    The words are the description of a field; where there is none, those of the docstring's Attributes or Args.
    """
    words = documented(source)
    if hasattr(source, "model_fields"):
        return [
            Setting(
                name,
                found.annotation,
                found.get_default(call_default_factory=True),
                found.description or words.get(name, ""),
            )
            for name, found in source.model_fields.items()
        ]
    if is_dataclass(source):
        return [
            Setting(
                found.name,
                found.type,
                found.default if found.default_factory is MISSING else found.default_factory(),
                words.get(found.name, ""),
            )
            for found in fields(source)
        ]
    return [
        Setting(found.name, found.annotation, found.default, words.get(found.name, ""))
        for found in inspect.signature(source).parameters.values()
        if found.default is not found.empty
    ]


def documented(source: Any) -> dict[str, str]:
    """What the docstring of a class or a function says of each attribute or argument."""
    found: dict[str, str] = {}
    name, inside = "", False
    for line in (inspect.getdoc(source) or "").splitlines():
        if not line.startswith(" "):
            inside = line in ("Attributes:", "Args:")
        elif inside and re.match(r" {4}\w+: ", line):
            name, _, text = line.strip().partition(": ")
            found[name] = text
        elif inside:
            found[name] += f" {line.strip()}"
    return {name: text.removesuffix(".") for name, text in found.items()}


def shell_kind(kind: Any) -> Any:
    """What the shell reads for a setting of a kind.

    Raises:
        TypeError: nothing; the option needs a `Spelling`.
    """
    if get_origin(kind) is Annotated:
        return shell_kind(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return str
    if get_origin(kind) is tuple:
        return list[shell_kind(get_args(kind)[0])]  # type: ignore[misc]
    if get_origin(kind) in (Union, UnionType):
        (one,) = (part for part in get_args(kind) if part is not NoneType)
        return shell_kind(one)
    if kind in PLAIN:
        return kind
    raise TypeError(f"the shell cannot read a {kind}; say with a Spelling what it reads")


def _refusal(source: Any, error: Any) -> str:
    """Says what pydantic found wrong, and what is allowed."""
    name = str(error["loc"][0]) if error["loc"] else ""
    if not name or error["type"] == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    kind, limits = source.model_fields[name].annotation, source.model_fields[name].metadata
    bounds = [
        rule.format(getattr(limit, bound))
        for limit in limits
        for bound, rule in BOUNDS.items()
        if hasattr(limit, bound)
    ]
    names = [str(name) for name in get_args(kind)] if get_origin(kind) is Literal else []
    return f"{name} is {error['input']!r}; give {' or '.join(names) or ' and '.join(bounds) or error['msg']}"


class Command(TyperCommand):
    """A command whose options are made when it is used: what they are made of may take long to load."""

    function: Callable[..., None]
    old_names: Mapping[str, str] = {}
    _made = False

    def get_params(self, ctx: Any) -> Any:
        """The arguments and options, and that of the help."""
        self.make_options()
        return super().get_params(ctx)

    def make_options(self) -> None:
        """Makes the arguments and options, if that was not done yet."""
        if not self._made:
            alone = typer.Typer(add_completion=False)
            alone.command()(_flat(self.function))
            made = typer.main.get_command(alone)
            self.params, self.callback, self._made = made.params, made.callback, True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads a command line, in which options may have the names that they once had."""
        words = [arg.partition("=") for arg in args]
        return super().parse_args(ctx, [self.old_names.get(name, name) + sign + text for name, sign, text in words])

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; an error that names a setting names its option instead."""
        try:
            return super().invoke(ctx)
        except (LaunchedError, SaidElsewhereError):  # others have said what is wrong
            raise
        except SamecarError as error:
            raise SamecarError(self._with_option(str(error))) from error

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the help, and examples at its end."""
        super().format_help(ctx, formatter)
        _print_examples(EXAMPLES.get(self.function, ()))

    def _with_option(self, sentence: str) -> str:
        name, told, rest = sentence.partition(" is ")
        options = {param.name: param.opts[-1] for param in self.params if param.opts[-1].startswith("--")}
        name = name.replace(" ", "_")
        return f"{options[name]}{told}{rest}" if name in options else sentence


class Group(TyperGroup):
    """A group of commands, with examples at the end of its help."""

    examples: Sequence[str] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the help, and examples at its end."""
        super().format_help(ctx, formatter)
        _print_examples(self.examples)


def examples(*lines: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Keeps command lines that show how a command is used; its help ends with them."""

    def keep(function: Callable[..., None]) -> Callable[..., None]:
        EXAMPLES[function] = lines
        return function

    return keep


def group_with(*lines: str) -> type[Group]:
    """A group whose help ends with such examples."""
    return type("GroupWithExamples", (Group,), {"examples": lines})


def add_command(
    group: typer.Typer,
    function: Callable[..., None],
    name: str | None = None,
    old_names: Mapping[str, str] | None = None,
) -> None:
    """Adds a function to a group as a command.

    Args:
        group: to add to.
        function: its docstring is the help; parameters that `OptionsOf` marks become several options.
        name: of the command; by default the function's.
        old_names: names that options once had, which are still taken but not shown, and today's.
    """

    def bare() -> None: ...

    bare.__name__, bare.__doc__ = function.__name__, function.__doc__
    made = type("MadeCommand", (Command,), {"function": staticmethod(function), "old_names": old_names or {}})
    group.command(name, cls=made)(bare)


def _flat(function: Callable[..., None]) -> Callable[..., None]:
    """The function with a parameter for each option."""
    parameters: list[inspect.Parameter] = []
    marked: dict[str, tuple[OptionsOf, list[str]]] = {}
    for parameter in inspect.signature(function).parameters.values():
        marker = next((part for part in get_args(parameter.annotation) if isinstance(part, OptionsOf)), None)
        if marker is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        else:
            settings = marker.settings()
            marked[parameter.name] = marker, [setting.name for setting in settings]
            parameters += map(marker.parameter, settings)

    def run(**given: Any) -> None:
        values = {
            name: marker.value({setting: given.pop(setting) for setting in settings})
            for name, (marker, settings) in marked.items()
        }
        function(**given, **values)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {}
    return run


def _print_examples(lines: Sequence[str]) -> None:
    console.say("\n".join([" Examples:", *(f"   {line}" for line in lines)]))


# what several commands share


def open_model(run: Path, preprocessing: str | None) -> "TrainedModel":
    """What a command is given as a run, after its preprocessing was remembered where that is stated.

    Raises:
        SamecarError: there is none, or what is stated means nothing.
    """
    from samecar.experiment.composite import as_model

    if preprocessing is not None:
        from samecar.embedding.foreign import state_preprocessing

        state_preprocessing(run, preprocessing)
    return as_model(run)


def folder_if_empty(engine: str | None) -> str | None:
    """What `--engine` means: an empty one is none, so that it undoes SAMECAR_ENGINE for one command."""
    return engine or None


def gallery_words(name: str, engine: str | None) -> str:
    """A gallery as a command names it; the server's address, which may hold a password, is left to the reader."""
    return name if engine is None else f"{name} --engine ADDRESS"


@contextmanager
def offer_partial(name: str) -> Iterator[None]:
    """Says how to go on without a server that a gallery is spread over."""
    from samecar.retrieval.engine import MissingPartError

    try:
        yield
    except MissingPartError as error:
        raise SamecarError(f"{error}; or say --partial for what the other servers of {name} hold") from error


Place = Annotated[
    dict[str, Any], OptionsOf("samecar.hardware:machine", {"workers": Spelling(low=0)}, without=("speed",))
]
Quickness = Annotated[
    "Speed",
    OptionsOf(
        "samecar.hardware:Speed",
        {
            "channels_last": "--channels-last/--no-channels-last",
            "fused": "--fused/--no-fused",
            "compile": "--compile/--no-compile",
            "cache": Spelling(metavar="memory|FOLDER"),
        },
    ),
]
Kept = Annotated[
    "Speed", OptionsOf("samecar.hardware:Speed", {"cache": Spelling(metavar="memory|FOLDER")}, only=("cache",))
]
Device = Annotated[dict[str, Any], OptionsOf("samecar.hardware:machine", only=("device",))]
Workers = Annotated[int | None, typer.Option(min=0, help="processes that read pictures; default: one a core")]
Count = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=1,
        metavar="N",
        help="processes on this machine that share the work, each with a GPU of its own or a part of the cores; "
        "default: one",
    ),
]
RunFolder = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="run folder of `samecar train`, a fused or reduced model, or an exported one"),
]
Stated = Annotated[
    str | None,
    typer.Option(
        "--preprocessing",
        metavar="HEIGHTxWIDTH:COLOURS",
        help="how an ONNX model of others takes pictures, as in 256x128:imagenet (or half, or none); remembered beside",
    ),
]
Source = Annotated[str, typer.Option("--data", metavar="SOURCE", help="pictures, as NAME:PATH, such as veri776:VeRi")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on standard output")]
Engine = Annotated[
    str | None,
    typer.Option(
        envvar="SAMECAR_ENGINE",
        show_default=False,
        callback=folder_if_empty,
        help="a server that keeps the gallery, such as postgresql://user@host/database; without it, or where it is "
        "empty, a folder does",
    ),
]
Name = Annotated[str, typer.Argument(metavar="GALLERY", help="folder of the gallery; with --engine its name there")]
Partial = Annotated[
    dict[str, Any], OptionsOf("samecar.retrieval.gallery:Gallery.open", only=("partial",), show_defaults=False)
]
