r"""Tables for a paper: LaTeX with booktabs' rules, for any engine.

A table needs `\usepackage{booktabs}` and nothing else. Text is escaped; a character that plain LaTeX lacks is written
by the commands that make it, and one that is not known here by its name in Unicode, so that none is lost.
"""

import re
import unicodedata

from bench.judge.intervals import Value
from bench.show.tables import Table, format_value

ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''",
    "–": "--", "—": "---", "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "∘": r"$\circ$",
    "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "∞": r"$\infty$", "→": r"$\rightarrow$", "∂": r"$\partial$",
    "²": "$^2$", "³": "$^3$", "¹": "$^1$", "⁻": "$^-$", "ᵀ": r"$^\top$", "₀": "$_0$", "₁": "$_1$", "½": r"$\frac12$",
    "α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "λ": r"$\lambda$", "ρ": r"$\rho$",
    "σ": r"$\sigma$", "τ": r"$\tau$", "Λ": r"$\Lambda$", "Σ": r"$\Sigma$", "’": "'", "“": "``", "”": "''",
}  # fmt: skip


def escape(text: str) -> str:
    """A text for LaTeX's text mode, on one line.

    Args:
        text: any text.
    """
    return "".join(_character(c) for c in " ".join(text.split()))


def _character(c: str) -> str:
    if c in ESCAPES:
        return ESCAPES[c]
    if c.isascii():
        return c if c.isprintable() else "?"
    base = unicodedata.normalize("NFKD", c)[0]
    if base.isascii() and base.isprintable():
        return ESCAPES.get(base, base)
    return f"[{unicodedata.name(c, 'unnamed').lower()}]"


def to_latex(table: Table) -> str:
    """A table as a `table` float: caption, booktabs' rules, numbers to the right, the note below in small print.

    Args:
        table: the table.
    """
    columns = "".join("r" if right else "l" for right in table.numeric)
    rows = [_row(row) for row in table.rows]
    note = [rf"\par\smallskip\begin{{minipage}}{{\linewidth}}\footnotesize {escape(table.note)}\end{{minipage}}"]
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{escape(table.title)}}}", rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _row(table.columns), r"\midrule", *rows, r"\bottomrule",
        r"\end{tabular}", *(note if table.note else []), r"\end{table}", "",
    ])  # fmt: skip


def _row(values: tuple[Value, ...]) -> str:
    return " & ".join(_minus(escape(format_value(value))) for value in values) + r" \\"


def _minus(text: str) -> str:
    """A minus where a number has a hyphen for one; a hyphen within words stays."""
    return re.sub(r"(?<![^\s\[(])-(?=\d)", "$-$", text)
