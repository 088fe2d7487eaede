"""Typed errors of the harness; `INPUT_ERRORS` end the command with a message and exit code 2."""

import causalrec.errors
import synth.errors


class InputError(ValueError):
    """What was given, what was expected, what to do; `cli.py` prints it without a traceback and exits 2."""


class DataMissing(InputError):
    """A named dataset is not under the data folder; says where it was sought and how to get it."""


INPUT_ERRORS = (InputError, causalrec.errors.InputError, synth.errors.InputError)
