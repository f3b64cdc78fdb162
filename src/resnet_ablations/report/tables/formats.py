"""A table as Markdown, LaTeX, CSV and in the terminal; the only place that escapes for these formats."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from resnet_ablations.console import WIDTH
from resnet_ablations.report.tables.table import MISSING, Table

PAGE = 84
"""The largest number of letters in a line of a table that fits a page and a terminal."""
MANY = 10
"""The number of columns from which a terminal shows a table without gaps."""

MATHS = ["times", "pm", "geq", "leq", "approx", "dagger", "ddagger", "cdot", "lambda", "gamma", "beta"]
MATHS += ["prod", "partial", "Vert", "div", "alpha", "mu", "tau", "infty"]
NAMED = ["backslash", "asciitilde", "asciicircum", "less", "greater", "bar"]
LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"{{{sign}}}" for sign in "[]*"},
    **{sign: rf"$\{name}$" for sign, name in zip("×±≥≤≈†‡·λγβ∏∂‖÷αμτ∞", MATHS, strict=True)},
    **{sign: rf"\text{name}{{}}" for sign, name in zip("\\~^<>|", NAMED, strict=True)},
    **{" %": r"~\%", "−": "$-$", "b_g": "$b_g$", "–": "--", "—": "---", "…": r"\dots{}", "½": r"$\frac{1}{2}$"},
    **{'"': "''", "“": "``", "”": "''", "’": "'"},
}
"""The LaTeX for characters that are commands in LaTeX or that its input encoding lacks."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""The characters that begin a formula in a spreadsheet; the wide ones in Chinese and Japanese spreadsheets."""
NUMBER = re.compile(r"[+-]\d[\w ,.%×–]*")
"""A number with its sign and words after it, `+46.67 points, as claimed`: no formula, since no function is called."""
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPT = re.compile(r"\^\d+|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_LATEX_TOKEN = re.compile("|".join(map(re.escape, sorted(LATEX, key=len, reverse=True))))
_UNKNOWN_TO_LATEX = re.compile("[^ -~À-ÏÑ-ÖØ-Ýß-ïñ-öø-ýÿ]")
"""The characters that pdfLaTeX lacks without further packages: all but ASCII and some Latin letters."""
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")


def markdown(table: Table) -> str:
    """Return GitHub's Markdown: caption, table, notes, and the command as a code block."""
    rules = ["---:" if column.right else "---" for column in table.columns]
    headings = [_markdown(column.heading) for column in table.columns]
    lines = [f"| {' | '.join(texts)} |" for texts in (headings, rules, *_escaped(table, _markdown, "**{}**"))]
    parts = [_markdown(table.caption), "\n".join(lines), *map(_markdown, table.notes)]
    if table.command:
        parts += [MISSING, f"```sh\n{table.command}\n```"]
    return "\n\n".join(parts) + "\n"


def latex(table: Table) -> str:
    """Return a `table` with a booktabs `tabular`, to be used with LaTeX's input command as it is."""
    table = _narrow(table)
    fitted = list(zip(table.columns, _widths(table), strict=True))
    widths = ["lr"[column.right] if width is None else f"p{{{width / 2:g}em}}" for column, width in fitted]
    flush = [(r"\raggedleft " if column.right else r"\raggedright ") if width else "" for column, width in fitted]

    def line(texts: Sequence[str]) -> str:
        cells = " & ".join(start + text for start, text in zip(flush, texts, strict=True))
        return cells + r" \tabularnewline"  # not \\, which means something else after \raggedright

    return "\n".join(
        [
            *([f"% {MISSING} {_one_line(table.command)}"] if table.command else []),
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.caption)}}}",
            rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]', '-', table.name)}}}",
            r"\medskip",
            r"\footnotesize\setlength{\tabcolsep}{3pt}",
            r"\makebox[\linewidth]{%",  # a wider table extends into both margins
            rf"\begin{{tabular}}{{@{{}}{''.join(widths)}@{{}}}}",
            r"\toprule",
            line([_latex(column.heading) for column in table.columns]),
            r"\midrule",
            *map(line, _escaped(table, _latex, r"\textbf{{{}}}")),
            r"\bottomrule",
            r"\end{tabular}}",
            *(rf"\par\smallskip\raggedright {_latex(note)}" for note in table.notes),
            r"\end{table}",
            "",
        ]
    )


def csv(frame: pd.DataFrame) -> str:
    """Return CSV: numbers with eight digits; an apostrophe before texts that a spreadsheet could run as formulas.

    It begins with a byte order mark: without one, Excel does not read UTF-8.
    """
    safe = frame.rename(columns=_defused).map(lambda value: _defused(value) if isinstance(value, str) else value)
    return "\ufeff" + safe.to_csv(index=False, lineterminator="\n", float_format="%.8g")


def terminal(table: Table, console: Console) -> None:
    """Print the table, not wider than `WIDTH`."""
    table = _narrow(table)
    width = min(WIDTH, console.width)
    console.print(Text(table.title, style="bold"), width=width)
    console.print(Text(table.caption), width=width)
    gap = 1 if len(table.columns) < MANY else 0
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    widths = _widths(table, WIDTH - (1 + gap) * (len(table.columns) - 1))
    for column, width_of in zip(table.columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        # Folded in a narrow terminal: rich would cut a number off.
        grid.add_column(Text(column.heading), justify=justify, max_width=width_of, overflow="fold")
    for number, texts in enumerate(table.rows):
        cells = [_broken(text, width_of) for text, width_of in zip(texts, widths, strict=True)]
        grid.add_row(*(Text(text, "bold" if table.is_best(number, place) else "") for place, text in enumerate(cells)))
    for printed in ("", grid, "", *map(Text, table.notes)):
        console.print(printed, width=width)
    if table.command:
        console.print(Text(MISSING), width=width)
        console.print(Text(f"  {table.command}"), soft_wrap=True)
    console.print()


def _escaped(table: Table, escape: Callable[[str], str], bold: str) -> list[list[str]]:
    """Return the rows with each text escaped, and the best ones in bold."""
    return [
        [bold.format(escape(text)) if table.is_best(row, place) else escape(text) for place, text in enumerate(texts)]
        for row, texts in enumerate(table.rows)
    ]


def _narrow(table: Table) -> Table:
    """Return the table without the columns marked `is_aside`, and with a note that names the files that have them."""
    kept = [place for place, column in enumerate(table.columns) if not column.is_aside]
    aside = "; ".join(column.heading for column in table.columns if column.is_aside)
    note = f"Left out here for lack of width, shown in {table.name}.md and {table.name}.csv: {aside}."
    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in table.rows),
        cells={(row, kept.index(place)): cell for (row, place), cell in table.cells.items() if place in kept},
        notes=(*table.notes, *[note] * bool(aside)),
    )


def _widths(table: Table, page: int = PAGE) -> list[int | None]:
    """Return the width in letters at which each column wraps so that the table fits `page` letters.

    The width is None for a column that need not wrap. No word is broken.
    """
    texts = list(zip((column.heading for column in table.columns), *table.rows, strict=True))
    widest = [max(map(len, column)) for column in texts]
    words = [max(len(word) for text in column for word in re.split(r"(?<!≈) ", text)) for column in texts]
    cap = max(widest)
    while cap > 1 and sum(max(min(wide, cap), word) for wide, word in zip(widest, words, strict=True)) > page:
        cap -= 1
    return [None if wide <= max(cap, word) else max(cap, word) for wide, word in zip(widest, words, strict=True)]


def _broken(text: str, width: int | None) -> str:
    """Return the text; if it is wider than `width`, break lines before the parentheses that fit on a line of their own.

    `6.61 (6.63 ± 0.16)` becomes two lines, `6.61` and `(6.63 ± 0.16)`.
    """
    if width is None or len(text) <= width:
        return text
    return re.sub(rf" (\([^()]{{,{width - 2}}}\))", r"\n\1", text)


def _markdown(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", _one_line(text))


def _latex(text: str) -> str:
    """Return the text with LaTeX's special characters escaped; an unknown character becomes `[U+65E5]`."""
    paired = re.sub(r'"([^"]*)"', r"“\1”", _one_line(text))
    texts = (_LATEX_TOKEN.sub(lambda match: LATEX[match[0]], part) for part in _SUPERSCRIPT.split(paired))
    powers = (f"$^{{{power.strip('^').translate(SUPERSCRIPTS)}}}$" for power in _SUPERSCRIPT.findall(paired))
    known = "".join(text + power for text, power in zip_longest(texts, powers, fillvalue=""))
    return _UNKNOWN_TO_LATEX.sub(lambda match: f"{{[}}U+{ord(match[0]):04X}{{]}}", known)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _defused(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text
