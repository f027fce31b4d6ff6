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
