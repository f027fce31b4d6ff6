"""The error that a user can cause and can mend."""

from collections.abc import Iterable


class SamecarError(Exception):
    """Bad input, said in one sentence.

    The sentence names the file or option, what was given, what is allowed, and what to do. The command line prints it
    without a traceback and exits with status 2.
    """


def first_few(names: Iterable[str], count: int = 3) -> str:
    """The first names, joined, and how many more there are."""
    every = list(names)
    rest = f" and {len(every) - count:,} more" if len(every) > count else ""
    return ", ".join(every[:count]) + rest


def missing_library(purpose: str, library: str, extra: str) -> SamecarError:
    """The error that says which library is not installed, and how to install it.

    samecar is on no package index, so the command is one for a copy of the repository.

    Args:
        purpose: What needs the library, with its verb, such as "films need".
        library: What is missing, such as "PyAV".
        extra: The extra of samecar that brings the library.
    """
    command = f'pip install ".[{extra}]"'
    return SamecarError(
        f"{purpose} {library}, which is not installed; run `{command}` in the copy of samecar's repository"
    )
