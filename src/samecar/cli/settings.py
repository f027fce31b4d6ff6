"""Options of commands that are made from the library's own settings.

A setting's default and its words stand once, in the library: in the class or the function that takes it. `OptionsOf`
names that class or function, and the command is handed one value for all of its options. What a command needs to know
of the library is loaded when the command is used, so that the command line starts quickly.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer

from samecar.errors import SamecarError

if TYPE_CHECKING:
    pass

BOUNDS = {"ge": "{} or more", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
"""What pydantic calls limits of a number, and how they are told."""

Given = TypeVar("Given")
Made = TypeVar("Made")

PLAIN = (bool, int, float, str, Path)
"""What the shell reads as it is."""


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
