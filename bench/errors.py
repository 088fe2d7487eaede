"""Typed errors of the harness; `INPUT_ERRORS` end the command with a message and exit code 2."""

from collections.abc import Iterator
from contextlib import contextmanager

import causalrec.errors
import synth.errors


class InputError(ValueError):
    """What was given, what was expected, what to do; `cli.py` prints it without a traceback and exits 2."""


class DataMissing(InputError):
    """A named dataset is not under the data folder; says where it was sought and how to get it."""


@contextmanager
def retyped() -> Iterator[None]:
    """Raise an input error of `causalrec` as one of the harness, with the same message.

    Raises:
        InputError: `causalrec` raised its own.
    """
    try:
        yield
    except causalrec.errors.InputError as error:
        raise InputError(str(error)) from error


INPUT_ERRORS = (InputError, causalrec.errors.InputError, synth.errors.InputError)
