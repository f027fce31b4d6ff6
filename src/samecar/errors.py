"""The error that a user can cause and can mend."""


class SamecarError(Exception):
    """Bad input, said in one sentence.

    The sentence names the file or option, what was given, what is allowed, and what to do. The command line prints it
    without a traceback and exits with status 2.
    """
