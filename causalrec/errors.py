"""The errors that `causalrec` raises when the input is at fault, not the code; and how any error reads on one line."""

LONGEST_ERROR = 300


class InputError(ValueError):
    """Says what was given, what was expected and what to do; the command line prints it and exits 2."""


class NotFittedError(InputError):
    """An estimator is asked for what `fit` has to find first."""


def one_line(error: BaseException) -> str:
    """Type and message of an error on one line of at most `LONGEST_ERROR` characters.

    Args:
        error: the error.
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_ERROR].removesuffix(": ")


def short(value: object) -> str:
    """A value as an error shows it.

    Args:
        value: anything.

    Returns:
        its `repr` of at most 80 characters.
    """
    try:
        text = repr(value)
    except RecursionError:  # JSON that is just not too deep to be parsed may be too deep to be shown
        text = f"a {type(value).__name__} nested too deep"
    return text if len(text) <= 80 else text[:77] + "..."
