"""LaTeX tables: pinned by hand, in booktabs' grammar whatever the text, and compiled where there is a LaTeX."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.judge.intervals import Interval
from bench.show.latex import ESCAPES, escape, to_latex
from bench.show.tables import Table

TABLE = Table(
    "recovery", "SHD & α", ("learner", "50 %"),
    (("eq_var", Interval(-0.5, -1.0, float("inf"), 5)), ("A V - x-1", None)), "λ ≤ 0.1.",
)  # fmt: skip
SPECIAL = re.compile(r"(?<!\\)[&%#_^~]")


def test_a_table_is_pinned():
    assert to_latex(TABLE).splitlines() == [
        r"\begin{table}", r"\centering", r"\caption{SHD \& $\alpha$}", r"\label{tab:recovery}",
        r"\begin{tabular}{lr}", r"\toprule", r"learner & 50 \% \\", r"\midrule",
        r"eq\_var & $-$0.50 [$-$1.00, $\infty$] \\", r"A V - x-1 & -- \\", r"\bottomrule", r"\end{tabular}",
        r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize $\lambda$ $\leq$ 0.1.\end{minipage}",
        r"\end{table}",
    ]  # fmt: skip


@given(st.text())
def test_any_text_is_ascii_and_leaves_no_character_to_latex(text):
    escaped = escape(text)
    assert escaped.isascii()
    assert "\n" not in escaped
    plain = escaped
    for command in sorted(ESCAPES.values(), key=len, reverse=True):
        plain = plain.replace(command, "")
    assert not set(plain) & set("\\{}$&#%_^~<>|")


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_every_row_has_its_cells_and_its_end(rows):
    body = to_latex(Table("t", "T", ("a", "b"), tuple(rows))).split(r"\midrule")[1].split(r"\bottomrule")[0]
    lines = body.strip("\n").split("\n")
    assert len(lines) == len(rows)
    for line in lines:
        assert line.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", line)) == 1


def test_what_is_not_known_is_named():
    assert escape("é") == "e"
    assert escape("木") == "[cjk unified ideograph-6728]"


@pytest.mark.slow
def test_it_compiles(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here; Debian: texlive-latex-recommended")
    every = Table("all", "All", ("x",), tuple((c,) for c in (*ESCAPES, "a\\b", "木")), "Note.")
    text = "\n".join([
        r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}", to_latex(TABLE), to_latex(every),
        r"\end{document}",
    ])  # fmt: skip
    (tmp_path / "t.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
