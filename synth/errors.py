"""The one error a caller of `synth` sees when the input, not the code, is at fault."""


class InputError(ValueError):
    """What was given, what was expected, what to do; `cli.py` prints it without a traceback and exits 2."""
