"""Every public function, method and class documents each of its arguments on a line of its own."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.docstrings import undocumented

ROOT = Path(__file__).parents[1]
PACKAGES = ("synth", "causalrec", "bench")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_argument_has_a_line_of_its_own(package):
    missing = undocumented(ROOT / package)
    assert not missing, "arguments without a line in Args of the docstring:\n" + "\n".join(missing)


def test_a_missing_argument_is_named_with_its_place(tmp_path):
    package = tmp_path / "made"
    package.mkdir()
    (package / "up.py").write_text(
        dedent('''
        from dataclasses import dataclass
        from typing import ClassVar, Protocol

        class Base(Protocol):
            """Documented once."""

            def fit(self, data, *, rate):
                """Fit.

                Args:
                    data: rows.
                    rate (float): step.
                """

        class Child:
            """Says of data: nothing.

            Args:
                width: of a row.

            Returns:
                depth: is no argument here.
            """

            def __init__(self, width, depth): ...

            def fit(self, data, rate): ...

            def _private(self, x): ...

        @dataclass
        class Options:
            """Options.

            Args:
                one: the first,
                    two: not a line of its own.
            """

            one: int
            two: int = 2
            name: ClassVar[str] = "options"

        def variadic(first, *args, **knobs): ...
        ''')
    )
    assert undocumented(package) == [
        "made/up.py:16 Child: depth",
        "made/up.py:33 Options: two",
        "made/up.py:45 variadic: first, knobs",
    ]
