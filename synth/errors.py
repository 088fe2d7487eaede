"""The error that `synth` raises when the input is at fault, not the code."""


class InputError(ValueError):
    """Says what was given, what was expected and what to do; the command line prints it and exits 2."""
