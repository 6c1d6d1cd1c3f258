r"""A table in words as LaTeX: floats with booktabs rules, ready for \input.

Many columns stand in blocks below each other and many rows in floats after each other. What is wider than a line is
shrunk to it, all blocks of a float alike. A difference or a note has a column of its own, so that estimates stand in
line.
"""

from __future__ import annotations

import re
from itertools import pairwise, product

from analysis.naming import LOWERED, RAISED
from analysis.writing.tables import Table, aside, estimate

LONGEST_LINE = 100
"""Letters of a line, which is some four fifths of its size on a page of two columns and two thirds on a narrow one."""
MOST_ROWS = 40

MATHS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda",
    "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "±": "pm", "×": "times", "·": "cdot", "≤": "leq",
    "≥": "geq", "≈": "approx", "→": "to", "∞": "infty", "√": "surd", "∂": "partial", "‖": "Vert", "⟨": "langle",
    "⟩": "rangle",
}  # fmt: skip
TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}", "<": "$<$", ">": "$>$",
    "|": "$|$", '"': "''", "−": "$-$", "–": "--", "…": r"\ldots{}",
} | {letter: rf"$\{name}$" for letter, name in MATHS.items()}  # fmt: skip


def latex(table: Table, name: str = "") -> str:
    r"""The table, which needs \usepackage{booktabs,graphicx}.

    Args:
        name: what `\ref{tab:name}` calls it; without one it has no label.
    """
    pieces = list(product(_rows(table), _columns(table)))
    floats: list[list[tuple[slice, slice]]] = [[]]
    for piece in pieces:
        if floats[-1] and sum(_height(rows) for rows, _ in [*floats[-1], piece]) > _height(slice(0, MOST_ROWS)):
            floats.append([])
        floats[-1].append(piece)
    called = re.sub(r"[^A-Za-z0-9_:.-]+", "-", name)
    first = rf"\caption{{{tex(table.title)}. {tex(table.notes)}}}" + (rf"\label{{tab:{called}}}" if name else "")
    later = rf"\addtocounter{{table}}{{-1}}\caption{{{tex(table.title)}, continued.}}"
    parts = [_float(table, held, later if i else first) for i, held in enumerate(floats)]
    return "\n".join([*parts, f"% needs booktabs and graphicx\n% tsd: {table.facts}", ""])


def tex(text: str) -> str:
    """Text that LaTeX prints as it stands, on one line."""
    escaped = "".join(TEX.get(letter, letter) for letter in re.sub("-(?=-)", "-\0", " ".join(text.split())))
    raised = re.sub(f"[{RAISED}]+", lambda found: f"$^{{{found[0].translate(LOWERED)}}}$", escaped)
    # After the end of a line, a bracket or a star would be an option of it.
    return re.sub(r"^[\[*]", r"{\g<0>}", raised.replace("\0", "{}"))


def _rows(table: Table) -> list[slice]:
    count = len(table.lines)
    return [slice(at, min(at + MOST_ROWS, count)) for at in range(0, max(1, count), MOST_ROWS)]


def _columns(table: Table) -> list[slice]:
    """The columns that stand side by side, so that no line is much longer than a page is wide."""
    names = max(len(text) for text in (table.corner, *(name for name, _ in table.lines)))
    widths = [
        2 + max(len(head), max((len(estimate(line[i])) for _, line in table.lines), default=0) + _aside(table, i))
        for i, head in enumerate(table.header)
    ]
    starts, room = [0], LONGEST_LINE - names
    for i, width in enumerate(widths):
        if width > room and i > starts[-1]:
            starts.append(i)
            room = LONGEST_LINE - names
        room -= width
    return [slice(a, b) for a, b in pairwise([*starts, len(widths)])]


def _aside(table: Table, column: int) -> int:
    """Letters of the longest difference with its note in a column; 0 where there is none."""
    return max((len(aside(line[column])) for _, line in table.lines), default=0)


def _height(rows: slice) -> int:
    """Lines of a piece with its head and the room around it."""
    return rows.stop - rows.start + 4


def _float(table: Table, pieces: list[tuple[slice, slice]], caption: str) -> str:
    tabulars = [_tabular(table, rows, columns) for rows, columns in pieces]
    [inside] = (
        tabulars
        if len(tabulars) == 1
        else ["\\begin{tabular}{@{}l@{}}\n" + " \\\\\n\\noalign{\\bigskip}\n".join(tabulars) + "\n\\end{tabular}"]
    )
    shrunk = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    return "\n".join(
        [r"\begin{table}[tbp]", r"\centering", caption, r"\smallskip\small", shrunk, f"{inside}}}", r"\end{table}"]
    )


def _tabular(table: Table, rows: slice, columns: slice) -> str:
    numbers = range(len(table.header))[columns]
    apart = [_aside(table, i) > 0 for i in numbers]
    heads = [rf"\multicolumn{{2}}{{c}}{{{tex(table.header[i])}}}" if two else tex(table.header[i])
             for i, two in zip(numbers, apart, strict=True)]  # fmt: skip
    count = len(apart) + sum(apart)
    above = rf" & \multicolumn{{{count}}}{{c}}{{{tex(table.above)}}} \\ \cmidrule(l){{2-{count + 1}}}"
    lines = [[tex(table.corner), *heads]]
    for name, cells in table.lines[rows]:
        told = [(estimate(cells[i], tex, r"\textbf{", "}"), aside(cells[i], tex)) for i in numbers]
        lines.append(
            [tex(name), *(text for pair, two in zip(told, apart, strict=True) for text in pair[: 2 if two else 1])]
        )
    head, *body = [rf"{' & '.join(line)} \\" for line in lines]
    kinds = "".join("r@{ }l" if two else "r" for two in apart)
    return "\n".join(
        [rf"\begin{{tabular}}{{l{kinds}}}", r"\toprule", *([above] if table.above else []), head, r"\midrule",
         *body, r"\bottomrule", r"\end{tabular}"]
    )  # fmt: skip
