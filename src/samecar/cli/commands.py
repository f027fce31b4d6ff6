"""Commands and groups of them: their options are made when they are used, and their helps end with examples."""

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from samecar.cli import console
from samecar.cli.launching import LaunchedError, refuse_to_share
from samecar.cli.options import Count
from samecar.cli.settings import OptionsOf
from samecar.errors import SamecarError
from samecar.processes import SaidElsewhereError

UsageError: Any = typer.BadParameter.__mro__[1]
"""What typer raises for a command line that it cannot take; it has no public name."""

EXAMPLES: dict[Callable[..., None], tuple[str, ...]] = {}
"""Command lines that show how a command is used, by its function."""


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
        args = [self.old_names.get(name, name) + sign + text for name, sign, text in words]
        try:
            self._refuse_twice(ctx, args)
            return super().parse_args(ctx, args)
        except UsageError as error:
            error.ctx = ctx  # some come without it, and then nothing says whose help tells more
            raise

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; an error that names a setting names its option instead."""
        if Count not in self.function.__annotations__.values():
            refuse_to_share(ctx.command_path)
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

    def _refuse_twice(self, ctx: Any, args: list[str]) -> None:
        """Refuses an option with one value that is given several times: all but the last would be dropped."""
        _, _, given = self.make_parser(ctx).parse_args(args=[*args])
        for param, times in Counter(given).items():
            name = param.opts[-1]
            one_value = name.startswith("-") and not (param.multiple or getattr(param, "is_flag", False))
            if times > 1 and one_value and not ctx.resilient_parsing:  # which is so while a shell completes a line
                ctx.fail(f"{name} is given {times} times; give it once")

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
